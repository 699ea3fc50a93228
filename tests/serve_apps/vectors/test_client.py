"""The Python client against the API of real shards: what is written is found, and what is wrong is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from control.specs.collection import CollectionSpec
from serve_apps.vectors.client import Collection, Vectors, VectorsError, spec_of
from tests.fakes.vector_api import VectorApi, vector_api

SPEC = CollectionSpec.model_validate(
    {
        "dimension": 2,
        "metric": "l2",
        "shards": 2,
        "fields": [{"name": "year", "type": "integer"}, {"name": "tags", "type": "keyword", "many": True}],
    }
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[VectorApi]:
    with vector_api(tmp_path, films=SPEC) as api:
        yield api


@pytest.fixture
def films(api: VectorApi) -> Iterator[Collection]:
    with Vectors(api.url, "key") as vectors:
        yield vectors.collection("films")


def point(number: int) -> dict[str, object]:
    return {"id": f"f{number}", "vector": [float(number), 0.0], "metadata": {"year": 2000 + number}}


def test_what_is_written_is_seen_by_the_next_read(films: Collection) -> None:
    for number in range(20):
        films.upsert([point(number)])
        assert films.count() == number + 1
        (hits,) = films.search([float(number), 0.0], k=1).results
        assert (hits[0].id, hits[0].score, hits[0].metadata) == (f"f{number}", 0.0, {"year": 2000 + number})


def test_tokens_of_writes_to_different_shards_are_kept_together() -> None:
    told = iter(["0:3", "1:2", "0:1,1:7"])
    asked: list[Any] = []

    class Api:
        def ask(self, method: str, path: str, json: Any = None, content: bytes | None = None) -> dict[str, Any]:
            asked.append(json)
            return {"count": 0} if path.endswith("count") else {"upserted": 1, "token": next(told)}

    films = Collection(Api(), "films")  # type: ignore[arg-type]
    for _ in range(3):
        films.upsert([])
    films.count()
    assert asked[-1] == {"token": "0:3,1:7"}


def test_several_vectors_are_searched_at_once_as_arrays(films: Collection) -> None:
    films.upsert([point(number) for number in range(10)])
    found = films.search(vectors=np.array([[1.1, 0], [7.9, 0]], np.float32), k=2, include=["vector"])
    assert [[hit.id for hit in hits] for hits in found.results] == [["f1", "f2"], ["f8", "f7"]]
    assert found.results[0][0].vector == [1.0, 0.0]
    assert (found.partial, found.missing) == (False, {})


def test_a_search_takes_what_the_api_takes(films: Collection) -> None:
    films.upsert([point(number) for number in range(10)])
    (hits,) = films.search([0.0, 0.0], k=2, offset=1, filter={"year": {"$gte": 2004}}, threshold=6.5).results
    assert [hit.id for hit in hits] == ["f5", "f6"]


def test_a_table_is_written_as_it_is(films: Collection) -> None:
    table = pa.table(
        {"id": ["a", "b"], "vector": [[1.0, 2.0], [3.0, 4.0]], "year": [1, None], "tags": [["x", "y"], None]}
    )
    assert films.upsert_table(table) == 2
    assert films.fetch(["b", "nothing", "a"], ["metadata", "vector"]) == [
        {"id": "b", "metadata": {}, "vector": [3.0, 4.0]},
        {"id": "a", "metadata": {"year": 1, "tags": ["x", "y"]}, "vector": [1.0, 2.0]},
    ]


def test_metadata_changes_without_its_vector(films: Collection) -> None:
    films.upsert([point(1)], acknowledge="all")
    changes = [{"id": id, "metadata": {"year": None, "tags": ["new"]}} for id in ("f1", "nothing")]
    assert films.update(changes) == 1
    assert films.fetch(["f1"]) == [{"id": "f1", "metadata": {"tags": ["new"]}}]


def test_rows_are_deleted_by_id_and_by_filter(films: Collection) -> None:
    films.upsert([point(number) for number in range(10)])
    assert films.delete(["f1", "nothing"]) is None
    assert films.delete(filter={"year": {"$gte": 2005}}) == 5
    assert [one["id"] for one in films.scroll()] == ["f0", "f2", "f3", "f4"]
    assert films.count({"year": 2001}) == 0


def test_pages_follow_each_other_by_id(films: Collection) -> None:
    films.upsert([point(number) for number in range(10)])
    first = films.scroll({"year": {"$lt": 2008}}, limit=5)
    rest = films.scroll({"year": {"$lt": 2008}}, after=first[-1]["id"], limit=5)
    assert [one["id"] for one in first + rest] == [f"f{number}" for number in range(8)]


def test_a_collection_describes_itself(api: VectorApi) -> None:
    with Vectors(api.url + "/", "key") as vectors:
        assert [one["name"] for one in vectors.collections()] == ["films"]
        assert spec_of(vectors.collection("films").describe()) == SPEC


def test_what_is_wrong_is_told_by_row_and_field(films: Collection) -> None:
    with pytest.raises(VectorsError, match=r"points\[1\]\.metadata\.year: 'soon'; expected a whole number") as caught:
        films.upsert([point(0), {**point(1), "metadata": {"year": "soon"}}])
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")
    assert films.count() == 0


def test_a_collection_that_is_not_there_is_told_with_its_neighbours(api: VectorApi) -> None:
    with Vectors(api.url, "key") as vectors, pytest.raises(VectorsError, match="Did you mean 'films'") as caught:
        vectors.collection("film").count()
    assert (caught.value.status, caught.value.code) == (404, "collection_not_found")


def test_an_answer_that_is_no_json_is_an_error_too(api: VectorApi, films: Collection) -> None:
    def refuse(scope: object) -> None:
        raise ConnectionError

    api.before = refuse
    with pytest.raises(VectorsError, match="not now") as caught:
        films.count()
    assert caught.value.status == 503


def test_where_nobody_listens_the_error_is_the_http_librarys() -> None:
    with Vectors("http://127.0.0.1:9", "key") as vectors, pytest.raises(httpx.ConnectError):
        vectors.collections()

"""Rows as an Arrow IPC stream: what fits the collection is written, all else refused as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from control.specs.collection import CollectionSpec
from tests.serve_apps.vectors.api import Api, run, spec_of, words_vector

POINTS = "/vectors/v1/collections/films/points"
IDS = ["a", "b", "c"]


def stream(table: pa.Table | pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def table(vectors: Any = None, **columns: Any) -> pa.Table:
    lists = [[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]] if vectors is None else vectors
    return pa.table({"id": IDS, "vector": lists, **columns})


async def send(body: bytes, query: str = "", spec: CollectionSpec | None = None) -> tuple[Api, int, Any]:
    api = Api(films=spec or spec_of())
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    answer = await api.client.post(POINTS + query, content=body, headers=headers)
    return api, answer.status_code, answer.json()


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 2), pa.large_list(pa.float16()), pa.list_(pa.int8(), 2)]
)
def test_vectors_come_in_any_list_of_numbers(kind: pa.DataType) -> None:
    async def story() -> None:
        vectors = pa.array([[3, 4], [1, 0], [0, 2]], pa.list_(pa.int64())).cast(kind)
        api, status, told = await send(stream(table(vectors, year=pa.array([1, None, 3], pa.int32()))))
        assert (status, told) == (200, {"upserted": 3, "token": "0:1"})
        rows = api.shards.rows["films"]
        np.testing.assert_allclose(rows["a"]["vector"], [0.6, 0.8], rtol=1e-6)
        assert [rows[one]["year"] for one in IDS] == [1, None, 3]

    run(story())


def test_all_kinds_of_fields_come_as_they_are() -> None:
    async def story() -> None:
        when = datetime(2026, 1, 1, tzinfo=UTC)
        columns = {
            "title": pa.array(["x", None, "z"]).dictionary_encode(),
            "rating": pa.array([1, None, 3], pa.int16()),
            "tags": [["a", "b"], [], None],
            "seen": [True, False, None],
            "shown": pa.array([when, None, when], pa.timestamp("s", tz="Europe/Berlin")),
            "place": [{"lat": 1.0, "lon": 2.0}, None, None],
        }
        api, status, told = await send(stream(table(**columns)), "?acknowledge=all&timeout_ms=5000")
        assert status == 200, told
        assert api.shards.asked == ["all"]
        row = api.shards.rows["films"]["a"]
        assert (row["title"], row["rating"], row["tags"], row["seen"]) == ("x", 1.0, ["a", "b"], True)
        assert (row["shown"], row["place"]) == (when, {"lat": 1.0, "lon": 2.0})

    run(story())


def test_lists_without_any_value_and_columns_of_nulls_are_of_every_type() -> None:
    async def story() -> None:
        api, status, told = await send(stream(table(tags=[[], None, []], year=pa.nulls(3), place=pa.nulls(3))))
        assert status == 200, told
        assert [api.shards.rows["films"][one]["tags"] for one in IDS] == [[], None, []]

    run(story())


def test_rows_without_vectors_are_embedded_by_their_texts() -> None:
    async def story() -> None:
        body = stream(pa.table({"id": ["a", "b"], "title": ["one text", "another"]}))
        api, status, told = await send(body, spec=spec_of(metric="ip", embedding={"model": "clip", "field": "title"}))
        assert status == 200, told
        assert api.shards.rows["films"]["b"]["vector"] == words_vector("another")

    run(story())


def test_the_last_row_of_an_id_wins() -> None:
    async def story() -> None:
        twice = pa.table({"id": ["a", "a"], "vector": [[1.0, 0.0], [0.0, 1.0]]})
        api, _, told = await send(stream(twice))
        assert (told["upserted"], told["duplicates"]) == (1, ["a"])
        assert api.shards.rows["films"]["a"]["vector"] == [0.0, 1.0]

    run(story())


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not an Arrow IPC stream"),
        (b"no arrow at all", "not an Arrow IPC stream"),
        (stream(table())[:-40], "not an Arrow IPC stream"),
        (stream(table([[1.0, 2.0], [1.0], [1.0, 2.0]])), "vector[1]: 1 numbers; expected 2"),
        (stream(table([[1.0, 2.0], None, [1.0, 2.0]])), "vector[1]: nothing; expected lists of 2 numbers"),
        (stream(table([[1.0, 2.0], [1.0, None], [1.0, 2.0]])), "1 nulls in the lists"),
        (stream(table([[1.0, 2.0], [1.0, NAN], [1.0, 2.0]])), "vector[1][1]: no finite number"),
        (stream(table([[1.0, 2.0], [1e300, 1.0], [1.0, 2.0]])), "vector[1][0]: no finite number"),
        (stream(table([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])), "vector[1]: a vector of zeros"),
        (stream(table([["a"], ["b"], ["c"]])), "vector[0]: 1 numbers"),
        (stream(table(["a", "b", "c"])), "vector: type string; expected lists of 2 numbers"),
        (stream(pa.table({"id": ["a"]})), "vector: no such column"),
        (stream(pa.table({"vector": [[1.0, 2.0]]})), "id: no such column"),
        (stream(pa.table({"id": ["a", None], "vector": [[1.0, 2.0]] * 2})), "id[1]: nothing; expected an id"),
        (stream(pa.table({"id": [], "vector": []})), "0 rows; expected 1 to"),
        (stream(table(jear=[1, 2, 3])), "jear: no field 'jear'; expected one of id, vector, title"),
        (stream(table(year=["1", "x", "3"])), "year: type string"),
        (stream(table(year=[1.0, 2.5, 3.0])), "year[1]: type double (Float value 2.5"),
        (stream(table(year=pa.array([1, 2, 1 << 63], pa.uint64()))), "year[2]: type uint64"),
        (stream(table(year=[True, None, False])), "year: type bool; expected type int64"),
        (stream(table(seen=[1, 0, 1])), "seen: type int64; expected type bool"),
        (stream(table(title=[b"a", b"b", b"c"])), "title: type binary; expected type string"),
        (stream(table(tags=["a", "b", "c"])), "tags: type string; expected type list<item: string>"),
        (stream(table(tags=pa.array([["a"]] * 3, pa.list_view(pa.string())))), "tags: type list_view<item: string>"),
        (stream(pa.table({"id": [True, False], "vector": [[1.0, 2.0]] * 2})), "id: type bool; expected type string"),
        (stream(table(shown=[1, 2, 3])), "shown: type int64; expected type timestamp[us, tz=UTC]"),
        (stream(table(shown=["2026-01-01T00:00:00Z", "soon", None])), "shown[1]: type string"),
        (
            stream(table(shown=pa.array([None, 1 << 60, 1], pa.timestamp("us")))),
            "shown[1]: no instant of the years 1 to",
        ),
        (
            stream(table(shown=pa.array([0, 0, -(1 << 40)], pa.timestamp("s")))),
            "shown[2]: no instant of the years 1 to",
        ),
        (stream(table(rating=[1.0, INF, None])), "rating[1]: no finite number"),
        (stream(pa.table({"id": ["a", "x" * 1_025], "vector": [[1.0, 2.0]] * 2})), "id[1]: a longer text; expected at"),
        (stream(table(tags=[["a"], ["b"] * 10_001, None])), "tags[1]: a longer list; expected at most 10000 values"),
        (stream(table(tags=[["a"], ["b", None], None])), "tags[1]: null in a list"),
        (stream(table(place=[None, {"lat": 95.0, "lon": 2.0}, None])), "place[1].lat: no such degrees"),
        (stream(table(place=[None, None, {"lat": 5.0, "lon": None}])), "place[2].lon: no such degrees"),
        (stream(table(place=[{"lat": NAN, "lon": 1.0}, None, None])), "place[0].lat: no such degrees"),
    ],
)
def test_a_stream_with_anything_wrong_is_refused_as_a_whole_with_the_place(body: bytes, message: str) -> None:
    async def story() -> None:
        api, status, told = await send(body)
        assert status == 400, told
        assert message in told["error"]["message"]
        assert not api.shards.rows["films"]

    run(story())


def test_offsets_that_lead_out_of_their_buffers_are_refused() -> None:
    async def story() -> None:
        whole = stream(table(title=["first", "second", "third"]))
        place = whole.index(b"firstsecondthird")
        offsets = whole.rindex(np.array([0, 5, 11, 16], np.int32).tobytes(), 0, place)
        bad = whole[: offsets + 8] + np.array([1 << 30], np.int32).tobytes() + whole[offsets + 12 :]
        _, status, told = await send(bad)
        assert (status, told["error"]["code"]) == (400, "invalid_arrow")

    run(story())


def test_offsets_of_lists_that_lead_out_of_their_values_are_refused() -> None:
    async def story() -> None:
        whole = stream(table(tags=[["first"], ["second", "third"], []]))
        place = whole.index(b"firstsecondthird")
        offsets = whole.rindex(np.array([0, 1, 3, 3], np.int32).tobytes(), 0, place)
        bad = whole[: offsets + 4] + np.array([1 << 30] * 3, np.int32).tobytes() + whole[offsets + 16 :]
        _, status, told = await send(bad)
        assert (status, told["error"]["code"]) == (400, "invalid_arrow")

    run(story())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?acknowledge=most", "acknowledge: invalid enum value 'most'"),
        ("?timeout_ms=0", "timeout_ms: expected `int` >= 1"),
        ("?timeout=3", "the body: object contains unknown field `timeout`"),
        ("?x", "query: "),
    ],
)
def test_wrong_parameters_of_the_address_are_refused(query: str, message: str) -> None:
    async def story() -> None:
        _, status, told = await send(stream(table()), query)
        assert (status, message in told["error"]["message"]) == (400, True), told

    run(story())

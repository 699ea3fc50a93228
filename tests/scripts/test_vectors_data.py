"""`biplane vectors search` and the other commands about rows, against the API of real shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from control.kernel.home import HOME_VARIABLE
from control.specs.collection import CollectionSpec
from scripts.cli import main  # noqa: F401  (the commands)
from scripts.cli.app import BAD_INPUT, FAILED, NO_PLANE, NOT_FOUND
from scripts.cli.vectors import vectors
from tests.fakes.vector_api import VectorApi, vector_api

FIELDS = [{"name": "year", "type": "integer"}, {"name": "tags", "type": "keyword", "many": True}]
FILMS = CollectionSpec.model_validate({"dimension": 2, "metric": "l2", "fields": FIELDS})
NUMBERS = CollectionSpec.model_validate({"dimension": 2, "metric": "l2", "ids": "integer"})
NOTES = CollectionSpec.model_validate(
    {"dimension": 384, "fields": [{"name": "body", "type": "text"}], "embedding": {"field": "body"}}
)
EVERY = CollectionSpec.model_validate(
    {
        "dimension": 2,
        "metric": "l2",
        "fields": [
            {"name": "at", "type": "datetime"},
            {"name": "place", "type": "geo"},
            {"name": "seen", "type": "boolean"},
            {"name": "rating", "type": "float"},
            *FIELDS,
        ],
    }
)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorApi]:
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    (home / "keys" / "admin.key").write_text("key\n")
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    monkeypatch.setenv("COLUMNS", "220")
    with vector_api(tmp_path / "shards", films=FILMS, numbers=NUMBERS, notes=NOTES, every=EVERY, again=EVERY) as api:
        yield api


@pytest.fixture
def biplane(api: VectorApi) -> Any:
    def run(*words: str, code: int = 0, typed: str = "") -> Result:
        result = CliRunner().invoke(vectors, [*words, "--url", api.url], input=typed)
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result

    return run


@pytest.fixture
def one(biplane: Any) -> Any:
    return lambda *words, typed="": json.loads(biplane(*words, "--json", typed=typed).stdout)


def lines(*numbers: int) -> str:
    rows = ({"id": f"f{n}", "vector": [n, 0], "metadata": {"year": 2000 + n, "tags": ["a", "b"]}} for n in numbers)
    return "\n".join(json.dumps(row) for row in rows)


def test_rows_go_in_and_are_found(biplane: Any, one: Any) -> None:
    assert one("upsert", "films", typed=lines(1, 2, 3)) == {"done": "3 rows written to films"}
    found = one("search", "films", "--vector", "[2.9, 0]", "-k", "2")
    assert [hit["id"] for hit in found["results"][0]] == ["f3", "f2"]
    shown = biplane("search", "films", "--vector", "[1, 0]", "-k", "1").stdout
    assert "ID  SCORE  YEAR  TAGS" in shown
    assert 'f1  0      2001  ["a", "b"]' in shown


def test_some_fields_of_rows_change_and_no_row_is_made(one: Any) -> None:
    one("upsert", "films", typed=lines(1, 2))
    changes = [{"id": "f1", "metadata": {"year": 1927}}, {"id": "f9", "metadata": {"year": 1}}]
    changes.append({"id": "f2", "metadata": {"tags": None}})
    told = one("update", "films", typed="\n".join(map(json.dumps, changes)))
    assert told == {"done": "2 of 3 rows changed in films"}
    rows = one("fetch", "films", "f1", "f2", "f9")
    assert [row["metadata"] for row in rows["points"]] == [{"year": 1927, "tags": ["a", "b"]}, {"year": 2002}]


def test_where_no_row_matches_that_is_said(biplane: Any) -> None:
    nothing = ("--filter", '{"year": 1900}')
    for words in (("search", "films", "--vector", "[1, 0]", *nothing), ("scroll", "films", *nothing)):
        assert biplane(*words).stdout == "No row matches.\n"
    assert biplane("fetch", "films", "f9").stdout == "No row matches.\n"


def test_a_search_takes_files_filters_and_several_vectors(one: Any, tmp_path: Path) -> None:
    one("upsert", "films", typed="[" + ",".join(lines(*range(9)).splitlines()) + "]")
    near, where = tmp_path / "near.json", tmp_path / "where.json"
    near.write_text("[[0, 0], [8, 0]]")
    where.write_text('{"year": {"$lt": 2007}}')
    words = (
        "search",
        "films",
        "--vector",
        f"@{near}",
        "--filter",
        f"@{where}",
        "-k",
        "1",
        "--include",
        "vector",
        "--exact",
    )
    first, second = one(*words)["results"]
    assert (first[0]["id"], first[0]["vector"]) == ("f0", [0.0, 0.0])
    assert second[0]["id"] == "f6"


def test_texts_are_searched_by_what_they_say(one: Any) -> None:
    rows = [{"id": "a", "text": "the cat sat"}, {"id": "b", "text": "stocks fell today"}]
    one("upsert", "notes", typed=json.dumps(rows))
    (hits,) = one("search", "notes", "--text", "a cat", "-k", "1")["results"]
    assert (hits[0]["id"], hits[0]["metadata"]) == ("a", {"body": "the cat sat"})


def test_rows_are_fetched_counted_and_paged(biplane: Any, one: Any) -> None:
    one("upsert", "films", typed=lines(*range(9)))
    assert one("fetch", "films", "f4", "nothing")["points"] == [
        {"id": "f4", "metadata": {"year": 2004, "tags": ["a", "b"]}}
    ]
    assert one("count", "films", "--filter", '{"year": {"$gte": 2005}}') == {"collection": "films", "count": 4}
    assert biplane("count", "films").stdout.strip() == "9"
    page = one("scroll", "films", "--after", "f2", "--limit", "2")["points"]
    assert [row["id"] for row in page] == ["f3", "f4"]


def test_integer_ids_are_numbers(biplane: Any, one: Any) -> None:
    one("upsert", "numbers", typed='{"id": 7, "vector": [1, 2]}')
    assert [row["id"] for row in one("fetch", "numbers", "7")["points"]] == [7]
    told = biplane("fetch", "numbers", "seven", code=BAD_INPUT).stderr
    assert "found 'seven'; expected a whole number" in told


def test_rows_are_removed_after_a_look(biplane: Any, one: Any) -> None:
    one("upsert", "films", typed=lines(*range(9)))
    words = "remove", "films", "--filter", '{"year": {"$gte": 2005}}'
    assert one(*words, "--dry-run") == {"dry_run": True, "collection": "films", "rows": 4}
    assert biplane(*words, "--dry-run").stdout == "4 rows of films would be deleted\n"
    assert one("count", "films")["count"] == 9
    assert one(*words) == {"dry_run": False, "collection": "films", "rows": 4}
    assert one("remove", "films", "f0", "f1", "f99")["rows"] == 2
    assert one("count", "films")["count"] == 3


@pytest.mark.parametrize("words", [("remove", "films"), ("remove", "films", "f1", "--filter", "{}")])
def test_neither_nothing_nor_two_things_are_removed(biplane: Any, words: tuple[str, ...]) -> None:
    assert "ids" in biplane(*words, code=BAD_INPUT).stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("count", "film"), NOT_FOUND, "Did you mean 'films'?"),
        (("count", "films", "--filter", "{"), BAD_INPUT, "--filter: found '{', which is no JSON"),
        (("count", "films", "--filter", "[]"), BAD_INPUT, "--filter: found a list; expected an object"),
        (("count", "films", "--filter", '{"yaer": 1}'), BAD_INPUT, "did you mean 'year'?"),
        (("search", "films", "--vector", "[1]"), BAD_INPUT, "1 numbers; expected 2"),
        (("search", "films", "--vector", "@/nowhere"), BAD_INPUT, "/nowhere: No such file"),
        (("upsert", "films"), BAD_INPUT, "FILE: found no rows"),
        (("import", "films", "/nowhere.parquet"), BAD_INPUT, "/nowhere.parquet: No such file or directory\n"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(biplane: Any, words: tuple[str, ...], code: int, told: str) -> None:
    assert told in biplane(*words, code=code).stderr


def test_where_nobody_answers_that_is_told(biplane: Any, api: VectorApi) -> None:
    api.url = "http://127.0.0.1:9"
    told = biplane("count", "films", code=FAILED).stderr
    assert "the vectors API at http://127.0.0.1:9 does not answer" in told


def test_without_a_plane_there_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nowhere"))
    assert CliRunner().invoke(vectors, ["count", "films"]).exit_code == NO_PLANE


def parquet(path: Path, count: int, **columns: Any) -> Path:
    ids = [f"r{number}" for number in range(count)]
    vectors = np.arange(count * 2, dtype=np.float32).reshape(count, 2).tolist()
    pq.write_table(pa.table({"doc": ids, "vector": vectors, "year": list(range(count)), **columns}), path)
    return path


def test_files_are_imported_and_counted(biplane: Any, one: Any, tmp_path: Path) -> None:
    file, more = parquet(tmp_path / "rows.parquet", 55), tmp_path / "more.jsonl"
    more.write_text(lines(*range(9)).replace('"id"', '"doc"'))
    told = one("import", "films", str(file), str(more), "--id", "doc", "--batch", "10")
    assert [(done["rows"], done["before"]) for done in told["files"]] == [(55, 0), (9, 0)]
    assert one("count", "films")["count"] == 64
    assert "55 rows imported in" in biplane("import", "films", str(file), "--id", "doc").stdout


def test_a_dry_run_checks_every_row_and_sends_none(biplane: Any, one: Any, tmp_path: Path) -> None:
    file = parquet(tmp_path / "rows.parquet", 55)
    told = one("import", "films", str(file), "--id", "doc", "--dry-run")
    assert (told["dry_run"], told["files"][0]["rows"]) == (True, 55)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(lines(*range(30)) + '\n{"id": "x", "vector": [1]}')
    refused = biplane("import", "films", str(bad), "--dry-run", "--batch", "7", code=BAD_INPUT).stderr
    assert f"{bad}: row 31: vector: 1 numbers; expected 2: the collection's dimension" in refused
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.full((9, 2), np.inf, np.float32))
    assert "row 1: vector" in biplane("import", "films", str(wrong), "--dry-run", code=BAD_INPUT).stderr
    assert one("count", "films")["count"] == 0


def test_an_import_that_was_refused_goes_on_when_the_file_is_whole(biplane: Any, one: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(*range(30)) + '\n{"id": "x", "vector": [1]}')
    told = biplane("import", "films", str(file), "--batch", "10", code=BAD_INPUT).stderr
    assert "row 31: vector: 1 numbers" in told
    assert "the first 30 rows are imported" in told
    assert "; no row before it is imported" in biplane("import", "films", str(file), code=BAD_INPUT).stderr
    biplane("import", "films", str(file), "--batch", "10", code=BAD_INPUT)
    changed = biplane("import", "films", str(file), "--resume", "--batch", "10", code=BAD_INPUT).stderr
    assert "row 31" in changed
    file.write_text(lines(*range(31)))
    assert (
        "not the file that was imported before"
        in biplane("import", "films", str(file), "--resume", code=BAD_INPUT).stderr
    )
    assert one("import", "films", str(file))["files"][0]["rows"] == 31
    assert one("import", "films", str(file), "--resume")["files"][0] | {"seconds": 0} == {
        "file": str(file), "rows": 0, "before": 31, "seconds": 0,
    }  # fmt: skip


def test_a_collection_that_was_made_anew_gets_the_file_from_its_beginning(
    biplane: Any, one: Any, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(*range(5)))
    one("import", "films", str(file))
    one("remove", "films", "--filter", "{}")
    told = biplane("import", "films", str(file), "--resume", code=BAD_INPUT).stderr
    assert "the collection has no row 'f4', the last of 5 that were imported: was it made anew?" in told


def test_texts_are_imported_without_vectors(biplane: Any, one: Any, tmp_path: Path) -> None:
    file = tmp_path / "notes.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "body": ["the cat sat", "stocks fell"]}), file)
    one("import", "notes", str(file), "--dry-run")
    one("import", "notes", str(file))
    assert one("search", "notes", "--text", "cat", "-k", "1")["results"][0][0]["id"] == "a"


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_what_is_exported_can_be_imported(biplane: Any, one: Any, tmp_path: Path, ending: str) -> None:
    rows = [
        {
            "id": f"r{n}",
            "vector": [n, 0.1],
            "metadata": {
                "at": "2026-11-28T09:30:00.123456Z",
                "place": {"lat": 1.5, "lon": n},
                "seen": True,
                "rating": n / 7,
                "tags": ["x"],
            },
        }
        for n in range(25)
    ]
    rows[3]["metadata"] = {}
    one("upsert", "every", typed=json.dumps(rows))
    file = tmp_path / f"rows.{ending}"
    assert one("export", "every", str(file)) == {"collection": "every", "file": str(file), "rows": 25}
    one("import", "again", str(file))
    words = "--limit", "100", "--include", "metadata", "--include", "vector"
    assert one("scroll", "again", *words) == one("scroll", "every", *words)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]


def test_an_export_of_another_kind_is_refused(biplane: Any, tmp_path: Path) -> None:
    assert "ends in .parquet or .jsonl" in biplane("export", "films", str(tmp_path / "x.csv"), code=BAD_INPUT).stderr


def test_a_name_is_given_by_an_equals_sign(biplane: Any, tmp_path: Path) -> None:
    told = biplane("import", "films", str(tmp_path / "x.npy"), "--map", "year", code=BAD_INPUT).stderr
    assert "--map: found 'year'; expected COLUMN=FIELD" in told

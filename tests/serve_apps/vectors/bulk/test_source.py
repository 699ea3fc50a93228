"""Files of every kind give the same rows, from any row on, in batches of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused
from serve_apps.vectors.bulk.source import open_source

SPEC = CollectionSpec.model_validate({"dimension": 2, "fields": [{"name": "year", "type": "integer"}]})
COUNT = 25
VECTORS = np.arange(COUNT * 2, dtype=np.float32).reshape(COUNT, 2)
IDS = [f"r{number}" for number in range(COUNT)]
YEARS = list(range(2000, 2000 + COUNT))
Write = Callable[[Path], Path]


def parquet(directory: Path) -> Path:
    path = directory / "rows.parquet"
    pq.write_table(pa.table({"id": IDS, "vector": VECTORS.tolist(), "year": YEARS}), path, row_group_size=7)
    return path


def flat_lines(directory: Path) -> Path:
    path = directory / "flat.jsonl"
    rows = zip(IDS, VECTORS.tolist(), YEARS, strict=True)
    path.write_text("\n".join(json.dumps({"id": id, "vector": vector, "year": year}) for id, vector, year in rows))
    return path


def points(directory: Path) -> Path:
    path = directory / "points.jsonl"
    rows = zip(IDS, VECTORS.tolist(), YEARS, strict=True)
    lines = (json.dumps({"id": id, "vector": vector, "metadata": {"year": year}}) for id, vector, year in rows)
    path.write_text("\n\n".join(lines) + "\n")
    return path


def stored_arrays(directory: Path) -> Path:
    path = directory / "rows.npz"
    np.savez(path, id=np.array(IDS), vector=VECTORS, year=np.array(YEARS))
    return path


def compressed_arrays(directory: Path) -> Path:
    path = directory / "small.npz"
    np.savez_compressed(path, id=np.array(IDS), vector=VECTORS, year=np.array(YEARS))
    return path


def read(path: Path, size: int, skip: int, columns: dict[str, str] | None = None) -> list[dict[str, Any]]:
    source = open_source(path)
    chosen = columns or {name: name for name in source.names or ()}
    assert source.count(chosen) == COUNT
    rows: list[dict[str, Any]] = []
    for batch in source.read(chosen, SPEC, size, skip):
        assert 0 < len(batch) <= size
        for row in batch.to_pylist() if isinstance(batch, pa.Table) else batch:
            rows.append({**row.pop("metadata", {}), **row})
    return rows


@pytest.mark.parametrize("write", [parquet, flat_lines, points, stored_arrays, compressed_arrays])
@pytest.mark.parametrize(("size", "skip"), [(1000, 0), (4, 0), (10, 13), (7, 7), (3, 24), (5, COUNT)])
def test_rows_are_read_from_any_row_on(tmp_path: Path, write: Write, size: int, skip: int) -> None:
    expected = [
        {"id": id, "vector": vector, "year": year}
        for id, vector, year in zip(IDS, VECTORS.tolist(), YEARS, strict=True)
    ]
    assert read(write(tmp_path), size, skip) == expected[skip:]


@pytest.mark.parametrize("skip", [0, 12])
def test_rows_without_ids_are_called_by_their_numbers(tmp_path: Path, skip: int) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, VECTORS)
    found = read(path, 10, skip)
    assert [row["id"] for row in found] == [str(number) for number in range(skip, COUNT)]
    assert [row["vector"] for row in found] == VECTORS[skip:].tolist()


def test_columns_have_the_names_that_they_are_given(tmp_path: Path) -> None:
    path = tmp_path / "ann.npz"
    np.savez(path, base=VECTORS, queries=VECTORS[:3])
    assert [row["vector"] for row in read(path, 10, 0, {"base": "vector"})] == VECTORS.tolist()


def test_lines_have_other_names_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"doc": "a", "emb": [1, 2], "jahr": 1999, "x": 0}\n')
    columns = {"doc": "id", "emb": "vector", "jahr": "year", "x": ""}
    (batch,) = open_source(path).read(columns, SPEC, 10, 0)
    assert batch == [{"id": "a", "vector": [1, 2], "metadata": {"year": 1999}}]


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("rows.csv", b"", "expected one that ends in .parquet, .jsonl, .npy or .npz"),
        ("rows.parquet", b"PAR0", "it is no Parquet file"),
        ("rows.npz", b"PK", "it is no file of NumPy arrays"),
        ("rows.npy", b"\x93NUMPY", "it is no file of NumPy arrays"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, body: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(ImportRefused, match=told):
        open_source(path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2 is no JSON object"),
        ("[1]", "line 2"),
        ('{"metadata": 3}', "line 2: metadata"),
        ('{"vector": [NaN]}', "line 2 is no JSON object: .*; JSON has neither NaN nor Infinity"),
    ],
)
def test_a_line_that_is_none_is_told_by_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a"}\n' + line)
    with pytest.raises(ImportRefused, match=told):
        list(open_source(path).read({}, SPEC, 10, 0))


def test_arrays_that_cannot_be_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, vector=VECTORS, year=np.array(YEARS[1:]))
    with pytest.raises(ImportRefused, match="different numbers of rows: vector has 25, year has 24"):
        open_source(path).count({"vector": "vector", "year": "year"})
    np.savez(path, vector=np.asfortranarray(VECTORS))
    with pytest.raises(ImportRefused, match="stored column by column"):
        open_source(path)
    np.savez(path, vector=np.array(["a", None], dtype=object))
    with pytest.raises(ImportRefused, match="Python objects"):
        open_source(path)


def test_memory_does_not_grow_with_a_row_group(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.parquet", 40_000
    vectors = np.random.default_rng(1).random((rows, 128), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 128)
    pq.write_table(pa.table({"vector": column}), path, row_group_size=rows)
    del column
    before, most = pa.total_allocated_bytes(), 0
    for batch in open_source(path).read({"vector": "vector"}, SPEC, 1000, 0):
        most = max(most, pa.total_allocated_bytes() - before)
        assert len(batch) == 1000
    assert most < vectors.nbytes / 2


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("", "line 3 has an id, and the lines before it have none"),
        ('"id": "a", ', "line 3 has no id, and the lines before it have one"),
    ],
)
def test_a_line_without_an_id_is_not_called_by_its_number_where_others_have_ids(
    first: str, said: str, tmp_path: Path
) -> None:
    path, other = tmp_path / "rows.jsonl", "" if first else '"id": "0", '
    path.write_text("".join(f'{{{id}"vector": [1, 2]}}\n' for id in (first, first, other)))
    with pytest.raises(ImportRefused, match=said):
        list(open_source(path).read({}, SPEC, 2, 0))

"""An import sends every row, in order where that matters, through trouble that passes, and goes on where it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk import importing as module
from serve_apps.vectors.bulk.columns import ImportRefused
from serve_apps.vectors.bulk.importing import Importing
from serve_apps.vectors.bulk.receipt import ImportReceipt, digest_of, load_receipt, receipt_path
from serve_apps.vectors.bulk.source import open_source
from serve_apps.vectors.client import Collection, Vectors, VectorsError
from tests.fakes.vector_api import VectorApi, vector_api

SPEC = CollectionSpec.model_validate(
    {"dimension": 2, "metric": "l2", "ids": "integer", "fields": [{"name": "year", "type": "integer"}]}
)
COLUMNS = {"id": "id", "vector": "vector", "year": "year"}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorApi]:
    monkeypatch.setattr(module, "PAUSES", (0.001,))
    with vector_api(tmp_path / "home", rows=SPEC) as api:
        yield api


@pytest.fixture
def rows(api: VectorApi) -> Iterator[Collection]:
    with Vectors(api.url, "key") as vectors:
        yield vectors.collection("rows")


def write(path: Path, ids: list[int], years: list[Any] | None = None) -> Path:
    vectors = [[float(one), 0.0] for one in ids]
    pq.write_table(pa.table({"id": ids, "vector": vectors, "year": years or list(range(len(ids)))}), path)
    return path


def run(rows: Collection, file: Path, receipt: ImportReceipt | None = None, size: int = 10) -> Importing:
    path = receipt_path(file.parent, "rows", file)
    one = Importing(rows, receipt or ImportReceipt(digest_of(file), 0), path, lambda count: None)
    one.run(open_source(file), COLUMNS, SPEC, size)
    return one


def test_every_row_arrives_and_the_receipt_says_so(rows: Collection, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.parquet", list(range(95)))
    run(rows, file)
    assert rows.count() == 95
    assert load_receipt(receipt_path(tmp_path, "rows", file)) == ImportReceipt(digest_of(file), 95, 94)


def test_of_an_id_that_comes_twice_the_last_row_stays_whatever_is_on_its_way(
    api: VectorApi, rows: Collection, tmp_path: Path
) -> None:
    random = Random(5)

    def before(scope: dict[str, Any]) -> None:
        if random.random() < 0.5:
            raise ConnectionError  # who comes again may come behind who came later

    ids = [random.randrange(30) for _ in range(400)]
    api.before = before
    run(rows, write(tmp_path / "rows.parquet", ids), size=4)
    api.before = lambda scope: None
    last = {one: place for place, one in enumerate(ids)}
    found = {one["id"]: one["metadata"]["year"] for one in rows.scroll(limit=100)}
    assert found == last


def test_trouble_that_passes_costs_nothing_but_time(api: VectorApi, rows: Collection, tmp_path: Path) -> None:
    random = Random(1)
    refused = 0

    def before(scope: dict[str, Any]) -> None:
        nonlocal refused
        if random.random() < 0.4:
            refused += 1
            raise ConnectionError

    api.before = before
    run(rows, write(tmp_path / "rows.parquet", list(range(100))))
    api.before = lambda scope: None
    assert rows.count() == 100
    assert refused > 0


def test_trouble_that_stays_is_told_and_the_receipt_is_kept(
    api: VectorApi, rows: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    file, turn, calls = write(tmp_path / "rows.parquet", list(range(100))), threading.Lock(), 0

    def before(scope: dict[str, Any]) -> None:
        nonlocal calls
        with turn:
            calls += 1
            if calls > 5:
                raise ConnectionError

    api.before = before
    with pytest.raises(VectorsError, match="not now"):
        run(rows, file)
    api.before = lambda scope: None
    receipt = load_receipt(receipt_path(tmp_path, "rows", file))
    assert receipt is not None
    assert receipt.rows <= 50
    assert rows.count({"year": {"$lt": receipt.rows}}) == receipt.rows
    run(rows, file, receipt)
    assert rows.count() == 100


def test_an_import_goes_on_behind_its_receipt(rows: Collection, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.parquet", list(range(95)))
    run(rows, file, ImportReceipt(digest_of(file), 40, 39))
    assert sorted(one["id"] for one in rows.scroll(limit=1000)) == list(range(40, 95))


def test_a_row_that_the_collection_does_not_take_is_told_as_the_file_counts_it(
    rows: Collection, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [f'{{"id": {one}, "vector": [1, 2], "year": {one}}}' for one in range(50)]
    lines[33] = '{"id": 33, "vector": [1, 2], "year": "soon"}'
    file.write_text("\n".join(lines))
    with pytest.raises(ImportRefused, match=r"row 34: metadata\.year: 'soon'; expected a whole number"):
        run(rows, file)
    assert rows.count({"year": {"$lt": 30}}) == 30
    assert rows.count({"year": {"$gte": 30}}) in (0, 10)  # the batch behind it may have been on its way


def test_a_vector_that_is_none_is_told_by_its_row(rows: Collection, tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    vectors = np.ones((50, 2), np.float32)
    vectors[25, 1] = np.nan
    np.savez(file, id=np.arange(50), vector=vectors, year=np.arange(50))
    with pytest.raises(ImportRefused, match=r"row 26: vector: .*no finite number"):
        run(rows, file)


def test_a_receipt_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"sha256": "a"')
    assert load_receipt(tmp_path / "x.json") is None
    assert load_receipt(tmp_path / "nothing.json") is None

"""New rows: what a reader has taken stays as it was, whatever is appended later."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from actors.vectors.query import Tuning
from actors.vectors.rows import vectors_of
from actors.vectors.segments.growing import Growing, GrowingRows
from actors.vectors.segments.ids import Wanted
from control.specs.vector_filter import EVERYTHING, In
from tests.fakes.vector_rows import batch_of, spec_of

SPEC = spec_of()


def append(growing: Growing, *ids: int, year: int | None = None) -> GrowingRows:
    batch = batch_of(SPEC, [(one, ([one, 0, 0], year, None)) for one in ids])
    growing.append(batch, list(ids))
    return growing.rows()


def find(rows: GrowingRows, *ids: int) -> list[int]:
    found: list[int] = rows.find(Wanted(pa.array(ids), list(ids))).tolist()
    return found


def test_a_reader_keeps_its_rows_while_the_array_is_replaced() -> None:
    growing = Growing(SPEC)
    before = append(growing, 1, 2)
    for number in range(100):
        append(growing, *range(10 * number, 10 * number + 10))
    assert before.vectors[:, 0].tolist() == [1, 2]
    assert before.take(np.array([1, 0]), ("id",)).column("id").to_pylist() == [2, 1]
    assert growing.rows().vectors[2:, 0].tolist() == list(range(1_000))


def test_an_id_is_found_where_it_was_when_the_reader_looked() -> None:
    growing = Growing(SPEC)
    first = append(growing, 1, 2)
    second = append(growing, 2, 3)
    third = append(growing, 2, 1)
    assert find(first, 1, 2, 3) == [0, 1, -1]
    assert find(second, 1, 2, 3) == [0, 2, 3]
    assert find(third, 1, 2, 3, 4) == [5, 4, 3, -1]


def test_rows_are_kept_in_few_chunks() -> None:
    growing = Growing(SPEC)
    for number in range(1_000):
        rows = append(growing, number)
    assert len(rows.chunks) <= 10
    assert rows.table.column("id").to_pylist() == list(range(1_000))


def test_a_search_measures_the_rows_that_are_alive_and_match() -> None:
    growing = Growing(SPEC)
    append(growing, 1, 2, year=2000)
    rows = append(growing, 3, 4, year=2001)
    query = np.array([[3, 0, 0]], np.float32)
    alive = np.array([True, True, False, True])
    assert rows.search(None, query, 2, EVERYTHING, Tuning()).rows.tolist() == [[2, 1]]
    assert rows.search(alive, query, 2, EVERYTHING, Tuning()).rows.tolist() == [[1, 3]]
    assert rows.search(alive, query, 2, In("year", (2001,)), Tuning()).rows.tolist() == [[3, -1]]


def test_rows_are_given_out_as_they_came() -> None:
    growing = Growing(SPEC)
    batch = batch_of(SPEC, [(1, ([1, 2, 3], 2000, "red")), (0, ([4, 5, 6], None, None))])
    growing.append(batch, [1, 0])
    taken = growing.rows().take(np.array([0, 1]), tuple(batch.schema.names))
    assert taken.schema == batch.schema
    assert taken.drop_columns(["vector"]) == batch.drop_columns(["vector"])
    assert (vectors_of(taken) == vectors_of(batch)).all()
    assert growing.rows().ascending().tolist() == [1, 0]

"""Where ids are in a sealed segment."""

from __future__ import annotations

import builtins

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.segments import ids as ids_module
from actors.vectors.segments.ids import SortedIds, Wanted


def rows(held: pa.Array | pa.ChunkedArray, asked: list[int | str]) -> list[int]:
    found: list[int] = SortedIds(held).rows(Wanted(pa.array(asked, held.type), asked)).tolist()
    return found


def test_integers_are_found_wherever_they_are() -> None:
    held = pa.array([7, -3, 2**62, 0], pa.int64())
    assert rows(held, [0, 7, 8, -3, 2**62, -(2**62)]) == [3, 0, -1, 1, 2, -1]


def test_strings_are_found_in_several_chunks() -> None:
    held = pa.chunked_array([["b", "ä"], [], ["", "aa"]], pa.string())
    assert rows(held, ["", "aa", "a", "ä", "b", "b"]) == [2, 3, -1, 1, 0, 0]


def test_nothing_is_found_in_an_empty_segment() -> None:
    assert rows(pa.array([], pa.string()), ["a"]) == [-1]
    assert rows(pa.array(["a"]), []) == []


def test_strings_with_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module, "hash", lambda text: len(text), raising=False)
    held = pa.array(["aa", "b", "c", "dd", "eee", "ff"])
    assert rows(held, ["ff", "c", "x", "eee", "aa", "xx", "yyyy", "dd", "b"]) == [5, 2, -1, 4, 0, -1, -1, 3, 1]
    assert builtins.hash("a") != 1


@pytest.mark.parametrize("held", [pa.array([5, -1, 3]), pa.chunked_array([["é", "z"], ["a"]])])
def test_rows_are_known_in_the_order_of_their_ids(held: pa.Array | pa.ChunkedArray) -> None:
    values = held.to_pylist()
    assert [values[row] for row in SortedIds(held).ascending] == sorted(values)


def test_a_row_costs_twelve_bytes() -> None:
    assert SortedIds(pa.array(np.arange(1_000))).nbytes == 12_000

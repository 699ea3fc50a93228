"""Filters over a sealed segment: what they cost and keep. What they find is in tests/props/test_vector_filters.py."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.metadata import indexed, unindexed
from actors.vectors.metadata.indexed import IndexedColumns, make_columns
from actors.vectors.metadata.values import Values, values_of
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import And, Exists, In, Not, Or, Range, Words

SPEC = CollectionSpec(
    dimension=2,
    fields=(
        MetadataField(name="tag", type="keyword"),
        MetadataField(name="body", type="text"),
        MetadataField(name="note", type="text", index=False),
        MetadataField(name="year", type="integer"),
    ),
)
TEXTS = ["Red, green", "red", None, "GREEN red", "bored greenish", "größer Ähre"]
TABLE = pa.table(
    {
        "tag": pa.array(["a", "b", "a", None, "c", "a"]),
        "body": pa.array(TEXTS),
        "note": pa.array(TEXTS),
        "year": pa.array([1, 2, 3, 4, None, 6], pa.int64()),
    }
)


@pytest.fixture
def columns() -> IndexedColumns:
    return make_columns(TABLE, SPEC)


@pytest.mark.parametrize("field", ["body", "note"])
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("red",), [0, 1, 3]),
        (("Red green",), [0, 3]),
        (("green", "RED"), [0, 3]),
        (("GRÖSSER",), []),
        (("ÄHRE",), [5]),
        (("re",), []),
        (("red-green",), [0, 3]),
    ],
)
def test_text_is_found_by_whole_words_in_any_case_and_order(
    columns: IndexedColumns, field: str, words: tuple[str, ...], rows: list[int]
) -> None:
    assert np.flatnonzero(columns.mask(Words(field, words))).tolist() == rows


def test_bounds_are_exact_for_one_condition_on_an_indexed_field(columns: IndexedColumns) -> None:
    assert columns.bounds(In("tag", ("a", "c", "no such"))) == (4, 4)
    assert columns.bounds(Range("year", 2, 4, low_open=True)) == (2, 2)
    assert columns.bounds(Not(Exists("year"))) == (1, 1)
    assert columns.bounds(Words("body", ("red",))) == (3, 3)
    assert columns.bounds(And((In("tag", ("a",)), Range("year", 2)))) == (1, 3)
    assert columns.bounds(Or((In("tag", ("a",)), Range("year", 2)))) == (4, 6)


def test_a_word_that_comes_twice_is_one_row() -> None:
    columns = make_columns(TABLE.set_column(1, "body", pa.array(["red red"] * 3 + [None] * 3)), SPEC)
    assert columns.bounds(Words("body", ("red",))) == (3, 3)


def test_a_field_without_an_index_is_not_read_where_another_has_no_match(
    columns: IndexedColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("every row was read")

    monkeypatch.setattr(indexed, "read_rows", fail)
    assert not columns.mask(And((Words("note", ("red",)), In("tag", ("no such",))))).any()
    with pytest.raises(AssertionError, match="every row was read"):
        columns.mask(And((Words("note", ("red",)), In("tag", ("a",)))))


def test_the_mask_of_a_filter_is_made_once_and_cannot_be_changed(columns: IndexedColumns) -> None:
    mask = columns.mask(In("tag", ("a",)))
    assert columns.mask(In("tag", ("a",))) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


def test_kept_masks_are_counted_and_few(columns: IndexedColumns) -> None:
    before = columns.nbytes
    for year in range(100):
        columns.mask(In("year", (year,)))
    assert columns.nbytes == before + indexed.KEPT * TABLE.num_rows


def test_a_segment_that_nobody_holds_is_freed_at_once() -> None:
    gc.disable()
    try:
        columns = make_columns(TABLE, SPEC)
        columns.mask(In("tag", ("a",)))
        gone = weakref.ref(columns)
        held = weakref.ref(columns._columns["tag"])
        del columns
        assert (gone(), held()) == (None, None)
    finally:
        gc.enable()


def test_only_texts_that_may_have_the_words_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def counted(chunk: pa.Array, field: MetadataField) -> Values:
        taken.append(len(chunk))
        return values_of(chunk, field)

    monkeypatch.setattr(unindexed, "values_of", counted)
    assert unindexed.scan_mask(TABLE, Words("note", ("green",)), SPEC).sum() == 2
    assert taken == [3]

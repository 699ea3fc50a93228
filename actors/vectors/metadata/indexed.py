"""Filters over a sealed segment. The indexes of its fields are made when it is sealed or opened, from its columns:
nothing of them is on disk, so nothing of them can be damaged, and no search waits for one to be made.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Protocol

import numpy as np
import pyarrow as pa

from actors.vectors.found import Mask
from actors.vectors.metadata.places import Places, places_of
from actors.vectors.metadata.postings import Postings, Span, postings_of
from actors.vectors.metadata.tree import Bounds, all_of, bounds_of, mask_of
from actors.vectors.metadata.unindexed import read_rows
from actors.vectors.metadata.words import words_asked
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import Condition, Exists, Filter, GeoBox, In, Range, Words

KEPT = 8
"""Masks of the last filters, of a byte a row each: together as much as two dimensions of the vectors."""


class IndexedColumns:
    """`Columns` of a segment of `rows` rows. Never changes but for the masks it keeps; any thread may ask."""

    def __init__(self, rows: int, columns: dict[str, _Column]) -> None:
        self._rows = rows
        self._columns = columns
        # Of a function without `self`: a cycle would keep a segment's memory until the collector comes round.
        self._mask = lru_cache(maxsize=KEPT)(partial(_read_only_mask, rows, columns))

    def bounds(self, where: Filter) -> Bounds:
        return _bounds(self._rows, self._columns, where)

    def mask(self, where: Filter) -> Mask:
        return self._mask(where)

    @property
    def nbytes(self) -> int:
        indexes = sum(column.nbytes for column in self._columns.values())
        return indexes + self._rows * self._mask.cache_info().currsize


def make_columns(table: pa.Table | pa.RecordBatch, spec: CollectionSpec) -> IndexedColumns:
    """Makes the indexes of a sealed segment and keeps its columns. A field of 1,000,000 rows takes 0.1 to 0.8 s of one
    core and 4 to 24 bytes a row; a text takes 0.3 s for each of its words a row, and 4 bytes.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    columns = {field.name: _column(table.column(field.name), field) for field in spec.fields}
    return IndexedColumns(table.num_rows, columns)


class _Column(Protocol):
    def mask(self, condition: Condition) -> Mask: ...
    def bounds(self, condition: Condition) -> Bounds: ...
    @property
    def nbytes(self) -> int: ...


def _column(column: pa.ChunkedArray, field: MetadataField) -> _Column:
    plain = _Plain(column, field)
    if not field.index:
        return plain
    if field.type == "geo":
        return _OfPlaces(plain, places_of(column, field))
    return _OfPostings(plain, postings_of(column, field))


def _read_only_mask(rows: int, columns: dict[str, _Column], where: Filter) -> Mask:
    low, high = _bounds(rows, columns, where)
    if low == high and low in (0, rows):  # one part may say so where another would read every row
        mask = np.full(rows, low == rows)
    else:
        mask = mask_of(where, rows, lambda condition: columns[condition.field].mask(condition))
    mask.setflags(write=False)
    return mask


def _bounds(rows: int, columns: dict[str, _Column], where: Filter) -> Bounds:
    return bounds_of(where, rows, lambda condition: columns[condition.field].bounds(condition))


class _Plain:
    """A column without an index."""

    nbytes = 0

    def __init__(self, column: pa.ChunkedArray, field: MetadataField) -> None:
        self.column = column
        self.field = field
        self.have = len(column) - column.null_count

    def mask(self, condition: Condition) -> Mask:
        return read_rows(self.column, condition, self.field)

    def bounds(self, condition: Condition) -> Bounds:
        return self.have if isinstance(condition, Exists) else 0, self.have


class _OfPostings:
    """Of all types but geo."""

    def __init__(self, plain: _Plain, postings: Postings) -> None:
        self._plain = plain
        self._postings = postings
        self.nbytes = postings.nbytes

    def mask(self, condition: Condition) -> Mask:
        match condition:
            case In() | Range():
                return self._rows(self._spans(condition))
            case Words(_, words):
                mask = self._plain.mask(Exists(condition.field))
                for word in words_asked(words):
                    mask &= self._rows(self._postings.spans([word]))
                return mask
            case _:
                return self._plain.mask(condition)

    def bounds(self, condition: Condition) -> Bounds:
        match condition:
            case In() | Range():
                counts = [last - first for first, last in self._spans(condition)]
                if self._plain.field.many:
                    return min(1, sum(counts)), min(self._plain.have, sum(counts))
                return sum(counts), sum(counts)
            case Words(_, words):
                spans = [self._postings.spans([word]) for word in words_asked(words)]
                counts = [sum(last - first for first, last in one) for one in spans]
                return all_of([(count, count) for count in counts], self._plain.have)
            case _:
                return self._plain.bounds(condition)

    def _spans(self, condition: In | Range) -> list[Span]:
        if isinstance(condition, In):
            return self._postings.spans(condition.values)
        return [self._postings.between(condition)]

    def _rows(self, spans: list[Span]) -> Mask:
        mask = np.zeros(len(self._plain.column), np.bool_)
        for first, last in spans:
            mask[self._postings.rows[first:last]] = True
        return mask


class _OfPlaces:
    def __init__(self, plain: _Plain, places: Places) -> None:
        self._plain = plain
        self._places = places
        self.nbytes = places.nbytes

    def mask(self, condition: Condition) -> Mask:
        if not isinstance(condition, GeoBox):
            return self._plain.mask(condition)
        mask = np.zeros(len(self._plain.column), np.bool_)
        mask[self._places.within(condition)] = True
        return mask

    def bounds(self, condition: Condition) -> Bounds:
        if not isinstance(condition, GeoBox):
            return self._plain.bounds(condition)
        first, last = self._places.band(condition)
        return 0, last - first

"""An index of one column of a sealed segment: its distinct values in order, each with its rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.vectors.metadata.values import Numbers, values_of
from control.specs.collection import MetadataField
from control.specs.vector_filter import Range, Value

Span = tuple[int, int]
"""A part of `Postings.rows`: first, and one after the last."""


@dataclass(frozen=True)
class Postings:
    """`values` (v,) ascending; value i is in `rows[starts[i] : starts[i + 1]]`, ascending, each row once."""

    values: Numbers | pa.Array
    starts: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes + self.starts.nbytes + self.rows.nbytes)

    def spans(self, wanted: Iterable[Value]) -> list[Span]:
        """Of each of these values; none of one that does not occur."""
        return [self._span(place) for place in {self._place(value) for value in wanted} if place is not None]

    def between(self, asked: Range) -> Span:
        """Of the values in the range, of a column of numbers."""
        first, last = 0, len(self.values)
        if asked.low is not None:
            first = int(np.searchsorted(self.values, asked.low, "right" if asked.low_open else "left"))
        if asked.high is not None:
            last = int(np.searchsorted(self.values, asked.high, "left" if asked.high_open else "right"))
        return int(self.starts[first]), int(self.starts[max(first, last)])

    def _span(self, place: int) -> Span:
        return int(self.starts[place]), int(self.starts[place + 1])

    def _place(self, value: Value) -> int | None:
        if isinstance(self.values, pa.Array):
            place = bisect_left(self.values, value, key=_text)
            return place if place < len(self.values) and _text(self.values[place]) == value else None
        place = int(np.searchsorted(self.values, value))
        return place if place < len(self.values) and self.values[place] == value else None


def postings_of(column: pa.ChunkedArray, field: MetadataField) -> Postings:
    """Of every type but geo; of text the words."""
    pieces, rows, start = [], [np.zeros(0, np.uint32)], 0
    for chunk in column.chunks:
        some, where = values_of(chunk, field)
        pieces.append(some)
        rows.append((where + start).astype(np.uint32))
        start += len(chunk)
    if field.type in ("keyword", "text"):
        return _gathered(*_encoded(pa.chunked_array(pieces, pa.string())), np.concatenate(rows))
    values, codes = np.unique(np.concatenate(pieces or [np.zeros(0, np.int64)]), return_inverse=True)
    return _gathered(values, codes, np.concatenate(rows))


def _gathered(values: Numbers | pa.Array, codes: NDArray[np.integer[Any]], rows: NDArray[np.uint32]) -> Postings:
    """From m codes, which count `values` from 0, and their rows."""
    codes = codes.astype(np.min_scalar_type(len(values)))  # up to 16 bits are sorted by radix, six times as fast
    order = np.argsort(codes, kind="stable")
    codes, rows = codes[order], rows[order]
    if len(rows):
        first = np.concatenate(([True], (codes[1:] != codes[:-1]) | (rows[1:] != rows[:-1])))
        codes, rows = codes[first], rows[first]
    return Postings(values, np.searchsorted(codes, np.arange(len(values) + 1)).astype(np.uint32), rows)


def _encoded(texts: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """The distinct texts in order, and of each text which it is."""
    encoded = texts.dictionary_encode().unify_dictionaries()
    if not len(texts):
        return pa.array([], pa.string()), np.zeros(0, np.int64)
    distinct = encoded.chunk(0).dictionary
    order = pc.sort_indices(distinct).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    return distinct.take(pa.array(order)), rank[codes]


def _text(value: pa.StringScalar) -> str:
    text: str = value.as_py()
    return text

"""The segment that new rows are appended to: in memory only, searched exactly.

One writer appends; each append gives a `GrowingRows`, which never changes, whatever is appended later: the vectors that
they share lie behind each one's end, and where the array is full another takes its place. A crash loses it: the log
and the last receipt have all that is in it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.found import Found, Mask, Rows
from actors.vectors.metadata.unindexed import scan_mask
from actors.vectors.query import Tuning
from actors.vectors.rows import ID, VECTOR, Floats, conformed, stored_schema, vectors_of
from actors.vectors.scan import scan
from actors.vectors.segments import rowset
from actors.vectors.segments.ids import Wanted
from actors.vectors.text_index import TextIndex, text_fields
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING, Filter

_FIRST_CAPACITY = 256


class Growing:
    """The writer's side. `last_rows` has the last row of each id, `previous` the row before it of the same id."""

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec
        self.last_rows: dict[int | str, int] = {}
        self.previous = np.empty(_FIRST_CAPACITY, np.int64)
        self._vectors = np.empty((_FIRST_CAPACITY, spec.dimension), np.float32)
        self._count = 0
        self._chunks: tuple[pa.RecordBatch, ...] = ()
        self._texts, self._reading = TextIndex(text_fields(spec)), threading.Lock()

    def append(self, batch: pa.RecordBatch, ids: list[int | str]) -> None:
        """`ids` are those of the batch, each once in it."""
        start, end = self._count, self._count + len(ids)
        if end > len(self._vectors):
            self._grow(end)
        self._vectors[start:end] = vectors_of(batch)
        get = self.last_rows.get
        self.previous[start:end] = np.fromiter((get(one, -1) for one in ids), np.int64, len(ids))
        self.last_rows.update(zip(ids, range(start, end), strict=True))
        self._chunks = _joined((*self._chunks, batch.drop_columns([VECTOR])))
        self._count = end

    def rows(self) -> GrowingRows:
        """As it is now."""
        return GrowingRows(self, self._vectors[: self._count], self._chunks)

    def under(self, spec: CollectionSpec) -> Growing:
        """The same rows, with the fields of another spec."""
        other = Growing(spec)
        other.last_rows, other.previous = dict(self.last_rows), self.previous  # readers of before look into theirs
        other._vectors, other._count = self._vectors, self._count
        rows = conformed(pa.Table.from_batches(self._chunks), stored_schema(spec)) if self._chunks else None
        other._chunks = tuple(rows.to_batches()) if rows else ()
        return other

    def texts(self, table: pa.Table) -> TextIndex:
        """With the rows of `table`, which are the first ones, at least: read when somebody looks for words."""
        with self._reading:
            if (known := len(self._texts)) < len(table):
                self._texts.add(table.slice(known))
            return self._texts

    def _grow(self, end: int) -> None:
        capacity = max(end, 2 * len(self._vectors))
        vectors, previous = np.empty((capacity, self.spec.dimension), np.float32), np.empty(capacity, np.int64)
        vectors[: self._count], previous[: self._count] = self._vectors[: self._count], self.previous[: self._count]
        self._vectors, self.previous = vectors, previous


def _joined(chunks: tuple[pa.RecordBatch, ...]) -> tuple[pa.RecordBatch, ...]:
    """Each chunk is at least twice as long as the next: few of them, and each row is copied a few times only."""
    while len(chunks) > 1 and len(chunks[-2]) < 2 * len(chunks[-1]):
        chunks = (*chunks[:-2], pa.concat_batches(chunks[-2:]))
    return chunks


@dataclass(frozen=True, eq=False)
class GrowingRows:
    """The first rows of a growing segment, as `Rowset`."""

    growing: Growing
    vectors: Floats
    chunks: tuple[pa.RecordBatch, ...]

    @cached_property
    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.chunks, stored_schema(self.growing.spec))

    def find(self, wanted: Wanted) -> Rows:
        get, count = self.growing.last_rows.get, len(self.vectors)
        rows = np.fromiter((get(one, -1) for one in wanted.values), np.int64, len(wanted.values))
        while (newer := rows >= count).any():  # appended since
            rows[newer] = self.growing.previous[rows[newer]]
        return rows

    def search(self, alive: Mask | None, queries: Floats, k: int, where: Filter, tuning: Tuning) -> Found:
        """Exact, whatever `tuning` says."""
        allowed = alive
        if where != EVERYTHING:
            allowed = self.mask(where) if alive is None else self.mask(where) & alive
        return scan(self.vectors, allowed, queries, k, self.growing.spec.metric)

    def search_text(self, text: str, fields: tuple[str, ...], k: int, allowed: Mask | None) -> Found:
        every = np.ones(len(self.vectors), np.bool_)  # the index may know of more rows than there were
        return self.growing.texts(self.table).search(text, fields, k, every if allowed is None else allowed)

    def mask(self, where: Filter) -> Mask:
        return scan_mask(self.table, where, self.growing.spec)

    def take(self, rows: Rows, columns: tuple[str, ...]) -> pa.RecordBatch:
        return rowset.take(self.table, self.vectors, rows, columns)

    @cached_property
    def whole_ids(self) -> Rows | None:
        return rowset.whole_ids(self.table)

    def ascending(self) -> Rows:
        rows: Rows = pc.sort_indices(self.table.column(ID)).to_numpy().astype(np.int64)
        return rows

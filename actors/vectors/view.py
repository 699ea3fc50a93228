"""A shard as it is at one position of its log: what a reader holds for as long as it reads. A value, never changed.

Each id is alive in one part at most, so that no reader sees two rows of an id, or an upsert halfway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.entry import Position
from actors.vectors.found import Rows
from actors.vectors.query import Hits, Level, Query, TextQuery
from actors.vectors.rows import ID
from actors.vectors.segments.ids import Wanted
from actors.vectors.segments.part import Part
from actors.vectors.segments.sealed import Sealed
from actors.vectors.top import Top, top
from control.specs.vector_filter import Filter


@dataclass(frozen=True, eq=False)
class SealedPart(Part):
    """A part whose rows are a sealed segment."""

    rowset: Sealed


@dataclass(frozen=True, eq=False)
class View:
    """`frozen` parts take no more rows and wait to be sealed."""

    sealed: tuple[SealedPart, ...]
    frozen: tuple[Part, ...]
    growing: Part
    applied: Position

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*self.sealed, *self.frozen, self.growing)

    def search(self, query: Query) -> Hits:
        parts = self.sealed if query.level is Level.INDEXED else self.parts
        parts = tuple(part for part in parts if part.dead < part.rows)
        found = [part.rowset.search(part.alive, query.vectors, query.k, query.where, query.tuning) for part in parts]
        return self._hits(parts, top(found, len(query.vectors), query.k, query.threshold), query.columns)

    def search_text(self, query: TextQuery) -> Hits:
        parts = self.sealed if query.level is Level.INDEXED else self.parts
        found = [
            part.rowset.search_text(query.text, query.fields, query.k, part.allowed(query.where)) for part in parts
        ]
        return self._hits(parts, top(found, 1, query.k, None), query.columns)

    def fetch(self, ids: pa.Array, columns: tuple[str, ...]) -> pa.RecordBatch:
        """`id` and the columns, in the order asked, without unknown ids."""
        wanted = Wanted(ids, ids.to_pylist())
        at, numbers = np.full(len(ids), -1, np.int64), np.zeros(len(ids), np.int64)
        for number, part in enumerate(self.parts):
            rows = part.find(wanted)
            here = rows >= 0
            at[here], numbers[here] = rows[here], number
        known = at >= 0
        return self._gather(self.parts, numbers[known], at[known], (ID, *columns))

    def scroll(self, where: Filter, after: int | str | None, limit: int, columns: tuple[str, ...]) -> pa.RecordBatch:
        """`id` and the columns of the first rows that match and have a greater id than `after`, in the order of ids."""
        pages = [part.page(where, after, limit) for part in self.parts]
        rows = np.concatenate(pages)
        numbers = np.repeat(np.arange(len(pages)), [len(page) for page in pages])
        ids = self._gather(self.parts, numbers, rows, (ID,)).column(ID)
        first = pc.sort_indices(ids).to_numpy()[:limit]
        return self._gather(self.parts, numbers[first], rows[first], (ID, *columns))

    def matching(self, where: Filter) -> pa.Array:
        batches = [part.rowset.take(part.matching(where), (ID,)) for part in self.parts]
        return pa.concat_batches(batches).column(ID)

    def count(self, where: Filter) -> int:
        return sum(part.count(where) for part in self.parts)

    def _hits(self, parts: Sequence[Part], best: Top, columns: tuple[str, ...]) -> Hits:
        whole = [ids for part in parts if (ids := part.rowset.whole_ids) is not None]
        if whole and not columns and len(whole[0]):
            return Hits(best.counts, pa.array(_ids_of(whole, best)), best.scores, None, self.applied.seq)
        batch = self._gather(parts, best.parts, best.rows, (ID, *columns))
        rows = batch.select(list(columns)) if columns else None
        return Hits(best.counts, batch.column(ID), best.scores, rows, self.applied.seq)

    def _gather(self, parts: Sequence[Part], numbers: Rows, rows: Rows, columns: tuple[str, ...]) -> pa.RecordBatch:
        """Row `rows[i]` of part `numbers[i]`, for each i."""
        used = np.flatnonzero(np.bincount(numbers, minlength=len(parts)))
        if not len(used):
            return self.growing.rowset.take(np.zeros(0, np.int64), columns)
        if len(used) == 1:
            return parts[used[0]].rowset.take(rows, columns)
        batches = [parts[number].rowset.take(rows[numbers == number], columns) for number in used]
        back = np.empty(len(rows), np.int64)
        back[np.argsort(numbers, kind="stable")] = np.arange(len(rows))
        return pa.concat_batches(batches).take(pa.array(back))


def _ids_of(parts: Sequence[Rows], best: Top) -> Rows:
    """Of the ids of each part, where they are whole numbers: Arrow would take as long as the search."""
    ids = parts[0].take(best.rows, mode="clip")  # of nearly all: the first part is the largest
    for number, known in enumerate(parts[1:], 1):
        here = best.parts == number
        ids[here] = known[best.rows[here]]
    return ids

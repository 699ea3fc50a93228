"""One set of rows with those of them that are alive, as a reader sees it: a value that is replaced, never changed."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from actors.vectors.found import Mask, Rows
from actors.vectors.rows import ID
from actors.vectors.segments.ids import Wanted
from actors.vectors.segments.rowset import Rowset
from control.specs.vector_filter import EVERYTHING, Filter


@dataclass(frozen=True, eq=False)
class Part:
    """`alive` has an element for each row; None while all of them are."""

    rowset: Rowset
    alive: Mask | None = None
    dead: int = 0

    @property
    def rows(self) -> int:
        return len(self.rowset.vectors)

    def find(self, wanted: Wanted) -> Rows:
        """The row of each id, -1 where it is not here, or dead."""
        rows = self.rowset.find(wanted)
        if self.alive is not None and len(self.alive):
            rows[(rows >= 0) & ~self.alive[rows]] = -1
        return rows

    def without(self, wanted: Wanted) -> Self:
        """Without these ids; the same value where it has none of them."""
        rows = self.find(wanted)
        return self.killed(rows[rows >= 0])

    def killed(self, rows: Rows) -> Self:
        if not len(rows):
            return self
        alive = np.ones(self.rows, np.bool_) if self.alive is None else self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive, dead=self.rows - int(np.count_nonzero(alive)))

    def allowed(self, where: Filter) -> Mask | None:
        """Which rows are alive and match; None for all of them."""
        if where == EVERYTHING:
            return self.alive
        mask = self.rowset.mask(where)
        return mask if self.alive is None else mask & self.alive

    def matching(self, where: Filter) -> Rows:
        """The rows that are alive and match, ascending."""
        allowed = self.allowed(where)
        return np.arange(self.rows) if allowed is None else np.flatnonzero(allowed)

    def count(self, where: Filter) -> int:
        return self.rows - self.dead if where == EVERYTHING else len(self.matching(where))

    def page(self, where: Filter, after: int | str | None, limit: int) -> Rows:
        """The first `limit` rows that are alive, match, and have a greater id than `after`, in the order of ids."""
        ascending = self.rowset.ascending()
        start = 0 if after is None else bisect.bisect_right(ascending, after, key=self._id)
        if where == EVERYTHING:
            rows = ascending[start : start + limit + self.dead]
            return rows if self.alive is None else rows[self.alive[rows]][:limit]
        allowed = np.zeros(self.rows, np.bool_)
        allowed[self.matching(where)] = True
        rest = ascending[start:]
        return rest[allowed[rest]][:limit]

    def _id(self, row: int) -> int | str:
        found: int | str = self.rowset.take(np.array([row]), (ID,)).column(ID)[0].as_py()
        return found

    def living(self) -> Rows:
        return self.matching(EVERYTHING)

"""The one way in which a sealed segment is searched: filters and deletions are one mask, no answer is short."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from actors.vectors.found import Found, Mask, among
from actors.vectors.indexes.index import Index
from actors.vectors.metadata.columns import Columns
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from actors.vectors.scan import scan
from actors.vectors.search_plan import Costs, Exact, Plan, Widened, first_plan, next_plan
from control.specs.collection import Metric
from control.specs.vector_filter import EVERYTHING, Filter

Tuned = Callable[[Widened], Tuning]
"""The parameters that are good for a widened search."""
SCATTERED, TOGETHER = 4.0, ((16, 1.0), (4, 2.0))
"""A distance to a row among others that are not allowed, in those of a scan of all rows; less from so many queries on,
which share what is read (32 to 784 dimensions, up to 1,000,000 rows, one core)."""


def search_segment(
    index: Index,
    alive: Mask | None,
    columns: Columns,
    queries: Floats,
    k: int,
    where: Filter,
    tuning: Tuning,
    metric: Metric,
) -> Found:
    """The k nearest rows, for each of q queries, that are alive (None: all are) and match: min(k, so many as there
    are), at worst as near as the index finds them without a filter.
    """
    rows = len(index.vectors)
    allowed = _allowed(alive, columns, where)
    count = rows if allowed is None else int(np.count_nonzero(allowed))
    if not count:
        return Found(np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32))
    if count == rows:
        allowed = None
    exact = count * next((cost for least, cost in TOGETHER if len(queries) >= least), SCATTERED)
    tuned = cache(lambda plan: index.tuned(tuning, k, plan.wide, plan.share))
    costs = Costs(exact, lambda plan: index.cost(tuned(plan), plan.wide))
    plan = Exact("asked for") if tuning.exact else first_plan(rows, count, k, costs)
    found = _carried_out(plan, index, allowed, queries, k, tuned, metric)
    last = min(k, count) - 1
    short = np.flatnonzero(found.rows[:, last] < 0)
    while len(short):
        if isinstance(plan, Widened):
            hits = np.count_nonzero(found.rows[short] >= 0, axis=1)
            plan = next_plan(rows, count, k, costs, _asked(plan, tuned), int(hits.min()))
        else:
            plan = Exact("the index came short")
        part = _carried_out(plan, index, allowed, queries[short], k, tuned, metric)
        found.rows[short], found.scores[short] = part.rows, part.scores
        short = short[part.rows[:, last] < 0]
    return found


def _carried_out(
    plan: Plan, index: Index, allowed: Mask | None, queries: Floats, k: int, tuned: Tuned, metric: Metric
) -> Found:
    if isinstance(plan, Widened):
        if allowed is not None:
            return among(index.search(queries, _asked(plan, tuned), tuned(plan)), allowed, k)
        found = index.search(queries, plan.wide, tuned(plan))
        return Found(found.rows[:, :k], found.scores[:, :k])
    return scan(index.vectors, allowed, queries, k, metric)


def _asked(plan: Widened, tuned: Tuned) -> int:
    """All that a walk through a graph looks at costs hardly more than the nearest of it, and is seldom too few."""
    return max(plan.wide, tuned(plan).ef_search or 0)


def _allowed(alive: Mask | None, columns: Columns, where: Filter) -> Mask | None:
    """None for all rows."""
    if where == EVERYTHING:
        return alive
    mask = columns.mask(where)
    return mask if alive is None else mask & alive

"""The one way in which a sealed segment is searched: filters and deletions are one mask, no answer is short."""

from __future__ import annotations

import numpy as np

from actors.vectors.found import Found, Mask
from actors.vectors.indexes.index import Index
from actors.vectors.metadata.columns import Columns
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from actors.vectors.scan import scan
from actors.vectors.search_plan import Exact, Plan, Traversal, Widened, first_plan, next_plan
from control.specs.collection import Metric
from control.specs.vector_filter import Filter
from control.specs.vector_index import IndexKind

TRAVERSES: frozenset[IndexKind] = frozenset({"ivf_flat", "ivf_pq"})
PRICE: dict[IndexKind, float] = {"hnsw": 3.0, "cagra": 3.0}
"""What a distance of the index costs in distances of an exact scan: a graph's are scattered in memory."""


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
    """The k nearest rows, for each of q queries, that are alive (None: all are) and match:
    min(k, so many as there are), at worst as near as the index finds them without a filter.
    """
    rows = len(index.vectors)
    allowed = _allowed(alive, columns, where, rows)
    count = rows if allowed is None else int(np.count_nonzero(allowed))
    found = Found(np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32))
    if not count:
        return found

    def cost(wide: int) -> float:
        return index.cost(index.tuned(tuning, wide), wide) * PRICE.get(index.kind, 1.0)

    asked = np.arange(len(queries))
    plan: Plan = Exact("asked for")
    if not tuning.exact:
        plan = first_plan(rows, count, k, index.kind in TRAVERSES, cost)
    while len(asked):
        part = _carried_out(plan, index, allowed, queries[asked], k, tuning, metric)
        if part is None:
            plan = first_plan(rows, count, k, False, cost)
            continue
        found.rows[asked], found.scores[asked] = part.rows, part.scores
        if isinstance(plan, Exact):
            break
        hits = np.count_nonzero(part.rows >= 0, axis=1)
        short = hits < min(k, count)
        asked = asked[short]
        if isinstance(plan, Widened) and short.any():
            plan = next_plan(rows, count, k, plan.wide, int(hits.min()), cost)
        else:
            plan = Exact("the index found too few")
    return found


def _carried_out(
    plan: Plan, index: Index, allowed: Mask | None, queries: Floats, k: int, tuning: Tuning, metric: Metric
) -> Found | None:
    match plan:
        case Exact():
            return scan(index.vectors, allowed, queries, k, metric)
        case Traversal():
            assert allowed is not None, "where all rows are allowed there is nothing to skip"
            return index.search_allowed(queries, k, index.tuned(tuning, k), allowed)
        case Widened(wide):
            return _among(index.search(queries, wide, index.tuned(tuning, wide)), allowed, k)


def _allowed(alive: Mask | None, columns: Columns, where: Filter, rows: int) -> Mask | None:
    """None for all rows."""
    low, high = columns.bounds(where)
    if low == rows:
        return alive
    if not high:
        return np.zeros(rows, np.bool_)
    mask = columns.mask(where)
    return mask if alive is None else mask & alive


def _among(found: Found, allowed: Mask | None, k: int) -> Found:
    """The k nearest of those found that are allowed."""
    if allowed is None:
        return Found(found.rows[:, :k], found.scores[:, :k])
    kept = allowed[found.rows] & (found.rows >= 0)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(kept, order, 1)
    rows = np.where(kept, np.take_along_axis(found.rows, order, 1), -1)
    return Found(rows, np.where(kept, np.take_along_axis(found.scores, order, 1), np.float32(-np.inf)))

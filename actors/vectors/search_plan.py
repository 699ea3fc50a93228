"""How a filtered search of one segment goes on. Pure: from counts and costs, with a reason that a user can read.

An index knows nothing of filters and of deleted rows, so it is asked for `wide` neighbours and those that are not
allowed are dropped. That is complete for a query once k allowed ones are among them: nothing nearer is missing. How
many are needed is only known where the filter has nothing to do with the vectors; so what comes short is widened by
what was found, or measured exactly where that is cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SURE = 2.0
"""Standard deviations more than expected are asked for: about one query in forty comes short and is asked again."""


@dataclass(frozen=True)
class Exact:
    """Measure every allowed row."""

    reason: str


@dataclass(frozen=True)
class Traversal:
    """Let the index skip what is not allowed."""

    reason: str


@dataclass(frozen=True)
class Widened:
    """Ask the index for `wide` neighbours and drop what is not allowed."""

    wide: int
    reason: str


Plan = Exact | Traversal | Widened
Cost = Callable[[int], float]
"""Of asking the index for so many neighbours of one query, in distances of an exact scan."""


def first_plan(rows: int, allowed: int, k: int, traverses: bool, cost: Cost) -> Plan:
    """Of `rows` rows `allowed` may be found; both at least 1."""
    if allowed == rows:
        return Widened(k, f"all {rows} rows are allowed")
    wide = _wide(k, allowed / rows, rows)
    if allowed <= min(k, rows) or cost(wide) >= allowed:
        return Exact(f"measuring the {allowed} allowed of {rows} rows costs less than to ask for {wide} neighbours")
    if traverses:
        return Traversal(f"the index skips what is not among the {allowed} allowed of {rows} rows")
    return Widened(wide, f"{wide} neighbours should have {k} of the {allowed} allowed of {rows} rows")


def next_plan(rows: int, allowed: int, k: int, wide: int, found: int, cost: Cost) -> Plan:
    """After `wide` neighbours of a query had only `found` < k allowed ones."""
    if not found:
        return Exact(f"none of the {wide} nearest is allowed")
    wider = max(2 * wide, _wide(k, found / wide, rows))
    if wider >= rows or cost(wider) >= allowed:
        return Exact(f"only {found} of the {wide} nearest are allowed: to measure all {allowed} costs less")
    return Widened(wider, f"only {found} of the {wide} nearest are allowed")


def _wide(k: int, share: float, rows: int) -> int:
    """The least m with m·share - SURE·√(m·share·(1-share)) ≥ k: a binomial count's mean less its deviations."""
    deviation = SURE * math.sqrt(1 - share)
    root = (deviation + math.sqrt(deviation * deviation + 4 * k)) / 2
    return min(rows, math.ceil(root * root / share))

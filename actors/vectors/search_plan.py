"""How a filtered search of one segment goes on. Pure: from counts and costs, with a reason that a user can read.

An index knows nothing of filters and of deleted rows, so it is asked for `wide` neighbours and those that are not
allowed are dropped. That is complete for a query once k allowed ones are among them: nothing nearer is missing. How
many are needed depends on how dense the allowed rows lie around the query, which nobody knows beforehand. So the plan
starts from their share in the segment, learns from what was found, and measures them all where that is cheaper.

A traversal that skips what is not allowed is no plan here. In a graph it loses its way (HNSW at 0.2 % of the rows finds
.087 of the neighbours); over inverted lists it is right, but took 1.3 to 10 times as long as the better of these two on
200,000 rows of 128, for 1 % to 20 % of them, near the query or far from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SURE = 2.0
"""Standard deviations more than expected are asked for: about one query in forty comes short and is asked again."""
LIKELY_NEAR = 0.8
"""The share of allowed rows among the nearest where a filter names what the query is about."""
WORTH_A_TRY = 2.0
"""So many times as much must a plan cost before a search for neighbours of that share is tried first."""
FAR = 3.0
"""Allowed rows that are expected among the nearest: where there is none, they lie far from the query (in one of twenty
cases it is chance), and to widen would cost as much again as to measure them.
"""


@dataclass(frozen=True)
class Exact:
    """Measure every allowed row."""

    reason: str


@dataclass(frozen=True)
class Widened:
    """Ask the index for `wide` neighbours and drop what is not allowed. It must be good for all of them: over inverted
    lists, parameters for the expected rank of the k-th allowed lost up to a tenth of the neighbours. `share` of them
    should be allowed.
    """

    wide: int
    share: float
    reason: str


Plan = Exact | Widened


@dataclass(frozen=True)
class Costs:
    """Of one query, in the same unit: of measuring all that is allowed, and of a widened search."""

    exact: float
    index: Callable[[Widened], float]


def first_plan(rows: int, allowed: int, k: int, costs: Costs) -> Plan:
    """Of `rows` rows `allowed` may be found; both at least 1."""
    if allowed <= k:
        return Exact(f"no more than {k} rows are allowed")
    if allowed == rows:
        return Widened(k, 1.0, f"all {rows} rows are allowed")
    why = f"{allowed} of {rows} rows are allowed"
    share = allowed / rows
    plan = _cheaper(rows, allowed, k, share, costs, why)
    if isinstance(plan, Widened) and WORTH_A_TRY * share > LIKELY_NEAR:
        return plan
    near = _widened(rows, k, LIKELY_NEAR, f"{why}, if these are the near ones, which is cheap to try")
    cost = costs.index(plan) if isinstance(plan, Widened) else costs.exact
    return near if WORTH_A_TRY * costs.index(near) <= cost else plan


def next_plan(rows: int, allowed: int, k: int, costs: Costs, wide: int, found: int) -> Plan:
    """After only `found` < k of `wide` neighbours of a query were allowed."""
    if not found and wide * allowed >= FAR * rows:
        return Exact(f"none of the {wide} nearest is allowed: the {allowed} that are lie elsewhere")
    share = (found + 1) / (wide + rows / allowed)  # the mean of a Gamma of one allowed row at their share of all
    return _cheaper(rows, allowed, k, share, costs, f"only {found} of the {wide} nearest are allowed", 2 * wide)


def _cheaper(rows: int, allowed: int, k: int, share: float, costs: Costs, why: str, least: int = 0) -> Plan:
    plan = _widened(rows, k, share, why, least)
    if plan.wide >= rows or costs.index(plan) >= costs.exact:
        return Exact(f"{why}: to measure the {allowed} allowed costs less than to ask the index for {plan.wide}")
    return plan


def _widened(rows: int, k: int, share: float, why: str, least: int = 0) -> Widened:
    """`wide` is the least m with m·share - SURE·√(m·share·(1-share)) ≥ k: a binomial count's mean less deviations."""
    deviation = SURE * math.sqrt(1 - share)
    root = (deviation + math.sqrt(deviation * deviation + 4 * k)) / 2
    wide = min(rows, max(least, math.ceil(root * root / share)))
    return Widened(wide, share, f"{why}: {k} of them should be among the {wide} nearest")

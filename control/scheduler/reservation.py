"""What the head of the queue waits for: a place, and when it is expected. Pure.

Whoever stands behind the head may go ahead only where that delays it by nothing (EASY backfill): by ending before,
or by taking none of the devices it waits for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from control.scheduler.answer import Placed
from control.scheduler.policies import POLICIES
from control.scheduler.state import Piece, Workload
from control.scheduler.stock import Stock


@dataclass(frozen=True)
class Reservation:
    """`at` is the time (Unix seconds) from which the pieces are expected to be free; infinite when nobody knows."""

    workload: str
    pieces: tuple[Piece, ...]
    at: float


def expected_end(holder: Workload, now: float) -> float:
    """When the holder is expected to leave: by its declared duration, and not before now."""
    if holder.lease is None or not holder.duration:
        return math.inf
    return max(now, holder.lease.since + holder.duration)


def reserve(workload: Workload, stock: Stock, holders: Iterable[Workload], now: float) -> Reservation | None:
    """The first place that comes free when holders leave in the order of their expected ends (oldest first).

    `holders` are those that the stock does not count as gone. None when it would not fit even if everyone left.
    """
    leaving = sorted(
        (h for h in holders if h.lease is not None),
        key=lambda h: (expected_end(h, now), h.lease.since if h.lease else 0.0, h.name),
    )

    # More room never makes a workload fit worse: look at ever more departures until they are enough, then bisect for
    # the first that is. Most heads wait for few.
    future = stock.copy()
    low, high, step = 0, 0, 1
    while high < len(leaving):
        low, high, step = high, min(len(leaving), high + step), 2 * step
        before = future.copy()
        _let_go(future, leaving[low:high])
        best = POLICIES[workload.kind](workload, future)
        if not isinstance(best, Placed):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            trial = before.copy()
            _let_go(trial, leaving[low:middle])
            found = POLICIES[workload.kind](workload, trial)
            if isinstance(found, Placed):
                best, high = found, middle
            else:
                before, low = trial, middle
        return Reservation(workload.name, best.pieces, expected_end(leaving[high - 1], now))
    return None


def _let_go(stock: Stock, holders: Iterable[Workload]) -> None:
    for holder in holders:
        stock.give(holder.lease.pieces if holder.lease else ())

"""What this replica counts of requests by route, backend and organization.

Counted in memory only, cumulatively since the replica started, and written with its other figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from control.route_traffic import (
    MOST_CODES,
    MOST_PAIRS,
    MOST_SHARES,
    OTHER,
    Counts,
    Outcome,
    Pair,
    Share,
    Standing,
    document,
)
from control.traffic import bucket
from serve_apps.gateway.figures import Tally
from serve_apps.gateway.record import Record

ERRORS = frozenset({Outcome.SERVER_ERROR, Outcome.CUT})


class RouteFigures:
    def __init__(self) -> None:
        self._shares: dict[Share, Counts] = {}
        self._times: dict[Pair, Tally] = {}
        self._errors: dict[str, int] = {}

    def count(self, record: Record) -> None:
        """Takes a request in that ended."""
        tally, counts = self._of(record)
        tally.requests += 1
        if record.outcome in ERRORS:
            tally.errors += 1
        if record.outcome is Outcome.OK:
            index = bucket(1000 * record.took_s)
            tally.latency_ms[index] = tally.latency_ms.get(index, 0) + 1
        if record.first_s is not None:
            index = bucket(1000 * record.first_s)
            tally.ttft_ms[index] = tally.ttft_ms.get(index, 0) + 1
        for name in (record.outcome.value, record.hit):
            if name:
                setattr(counts, name, getattr(counts, name) + 1)
        usage = record.usage
        counts.fallbacks += record.outcome is Outcome.OK and bool(record.attempts)
        counts.prompt += usage.prompt
        counts.cached += usage.cached
        counts.completion += usage.completion
        counts.cost += record.cost
        counts.saved += record.saved

    def error(self, code: str) -> None:
        """An error was answered."""
        if code not in self._errors and len(self._errors) >= MOST_CODES:
            code = OTHER
        self._errors[code] = self._errors.get(code, 0) + 1

    def body(self, standings: Iterable[Standing]) -> dict[str, Any]:
        """The part of the replica's heartbeat that is about routes, with how it finds their backends."""
        times = {pair: tally.read() for pair, tally in self._times.items()}
        return document(self._shares, times, tuple(standings)[:MOST_PAIRS], self._errors)

    def _of(self, record: Record) -> tuple[Tally, Counts]:
        pair = Pair(record.route, record.backend)
        if pair not in self._times and len(self._times) >= MOST_PAIRS:
            pair = Pair(OTHER, OTHER)
        share = Share(*pair, record.organization)
        if share not in self._shares and len(self._shares) >= MOST_SHARES:
            share = Share(*pair, OTHER)
        if (tally := self._times.get(pair)) is None:
            tally = self._times[pair] = Tally(perf_counter())
        if (counts := self._shares.get(share)) is None:
            counts = self._shares[share] = Counts()
        return tally, counts

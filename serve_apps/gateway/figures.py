"""What this replica counts of each application's traffic, and the task that writes it down.

Counted in memory only, cumulatively since the replica started. Writing is never waited for by a request, and a store
that is away costs nothing but the figures.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from time import perf_counter
from typing import Any

from control.traffic import Traffic, bucket, document

FORGET_SECONDS = 600.0
"""How long the figures of an application are kept that the table does not name any more."""

Report = Callable[[str, dict[str, Any]], None]
"""Writes a replica's figures, given its id and the body of its heartbeat. It may block: it runs in a thread."""


class Outcome(Enum):
    """How a request at an application ended."""

    WHOLE = "its answer came to its end"
    FAILED = "it failed, or its answer broke off or came too late"
    UNJUDGED = "the request was refused for what it asked, or its client left"


class Tally:
    """The figures of one application, and when the table named it last."""

    __slots__ = ("errors", "itl_ms", "latency_ms", "named_at", "requests", "ttft_ms")

    def __init__(self, now: float) -> None:
        self.requests = 0
        self.errors = 0
        self.ttft_ms: dict[int, int] = {}
        self.itl_ms: dict[int, int] = {}
        self.latency_ms: dict[int, int] = {}
        self.named_at = now

    def read(self) -> Traffic:
        return Traffic(self.requests, self.errors, dict(self.ttft_ms), dict(self.itl_ms), dict(self.latency_ms))


class Meter:
    """Takes the times of one request at one application, from now on."""

    __slots__ = ("_began", "_last", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._began = self._last = perf_counter()

    def chunk(self) -> None:
        """A chunk of a stream came."""
        now, last = perf_counter(), self._last
        histogram = self._tally.ttft_ms if last == self._began else self._tally.itl_ms
        index = bucket(1000 * (now - last))
        histogram[index] = histogram.get(index, 0) + 1
        self._last = now

    def end(self, outcome: Outcome) -> None:
        tally = self._tally
        tally.requests += 1
        if outcome is Outcome.WHOLE:
            index = bucket(1000 * (perf_counter() - self._began))
            tally.latency_ms[index] = tally.latency_ms.get(index, 0) + 1
        elif outcome is Outcome.FAILED:
            tally.errors += 1


class Figures:
    """The tallies of this replica, by application."""

    def __init__(self) -> None:
        self.shadows_dropped = 0
        self.streams_cut = 0
        self.replica = secrets.token_hex(6)
        self._tallies: dict[str, Tally] = {}

    def meter(self, app: str) -> Meter:
        tally = self._tallies.get(app)
        if tally is None:
            tally = self._tallies[app] = Tally(perf_counter())
        return Meter(tally)

    def forget(self, named: Collection[str], now: float) -> None:
        """Drops what the table has not named for `FORGET_SECONDS`. `now` is on `perf_counter`'s clock."""
        for app in named:
            if tally := self._tallies.get(app):
                tally.named_at = now
        self._tallies = {app: t for app, t in self._tallies.items() if now - t.named_at < FORGET_SECONDS}

    def body(self) -> dict[str, Any]:
        told = document({app: tally.read() for app, tally in self._tallies.items()})
        return {**told, "shadows_dropped": self.shadows_dropped, "streams_cut": self.streams_cut}

    async def run(
        self,
        report: Report,
        named: Callable[[], Collection[str]],
        more: Callable[[], Mapping[str, Any]],
        period_s: float,
    ) -> None:
        """Writes the figures through `report` for ever; `named` gives the applications of the table, and `more` what
        else the heartbeat says.
        """
        while True:
            await asyncio.sleep(period_s)
            self.forget(named(), perf_counter())
            try:
                await asyncio.to_thread(report, self.replica, {**self.body(), **more()})
            except Exception:  # whatever the store has, the figures go on and are written at the next turn
                continue

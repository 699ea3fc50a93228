"""How a backend is, by what requests and probes say of it, and by what it says itself. Pure: the time comes in.

Kept in memory, by every replica of the gateway for itself; a crash forgets it, and a backend that is down is found out
anew by `OPEN_AFTER` requests, each of which another backend answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from serve_apps.gateway.backends.breaker import TRANSITIONS, Event, State

DEGRADED_AFTER = 3
"""Failures in a row. One in ten thousand times chance makes as many of a backend that fails 5 % of its requests."""
OPEN_AFTER = 5
"""Failures in a row, after which the breaker opens: as many as a replica of a model is given (routes.MOST_FAILURES)."""
OPEN_SECONDS = 5.0
"""How long the breaker stays open at first, and how long a degraded backend is called that after its last failure: one
that is merely degraded must not be left alone for longer than one that is down."""
MOST_OPEN_SECONDS = 60.0
"""Every opening that follows a failed trial is twice as long, up to this: an outage costs a request a minute."""
MOST_DOUBLINGS = 16
"""Counted, lest a backend that is down for a day asks for a number that is too large."""
TRIALS = 3
"""Requests that a half-open backend gets, at once or one by one; when all are answered, the breaker closes."""


class Ended(Enum):
    """How a request ended, as far as it tells of the backend."""

    ANSWERED = "it was answered"
    FAILED = "the backend failed"
    UNJUDGED = "its client left, the request was at fault, or the backend has too much to do"


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a backend must not be asked, in words for a header, until a moment in seconds; inf where nobody knows."""

    why: str
    until: float


@dataclass(frozen=True, slots=True)
class Health:
    """One backend's. Times in seconds, on a clock that does not go back.

    The state lapses at `until`. `failures` requests failed in a row and `missed` probes, the last thing that failed for
    the reason `why`. The breaker opened `opened` times since it was closed. Its `period` changes when it opens: what
    was sent in an earlier one says nothing any more. Of the trials, `trials` are on their way and `passed` were
    answered. The backend itself wants nothing until `busy_until`.
    """

    state: State = State.HEALTHY
    until: float = math.inf
    failures: int = 0
    missed: int = 0
    why: str = ""
    opened: int = 0
    period: int = 0
    trials: int = 0
    passed: int = 0
    busy_until: float = 0.0

    def at(self, now: float) -> Health:
        return self if now < self.until else self._after(Event.LAPSED, now, 0.0)

    def closed(self, now: float) -> Closed | None:
        """Why it must not get a request now; of a health that is `at` now."""
        if self.state is State.OPEN:
            times = f"{max(self.failures, self.missed)} failures in a row, the last: {self.why}"
            return Closed(f"breaker open for {self.until - now:.1f} s more after {times}", self.until)
        if now < self.busy_until:
            return Closed(f"wants no requests for {self.busy_until - now:.1f} s", self.busy_until)
        if self.state is State.HALF_OPEN and self.trials + self.passed >= TRIALS:
            return Closed(f"breaker half-open, and {self.trials} requests try it already", math.inf)
        return None

    def sent(self) -> Health:
        """A request goes there, of a health `at` now that is not `closed`. Its `period` is the request's."""
        return replace(self, trials=self.trials + 1) if self.state is State.HALF_OPEN else self

    def ended(self, period: int, how: Ended, now: float, jitter: float, why: str = "") -> Health:
        """A request of a `period` ended, of a health that is `at` now. `jitter` is from 0 to 1, drawn anew."""
        if period != self.period:
            return self
        half_open = self.state is State.HALF_OPEN
        known = replace(self, trials=self.trials - 1) if half_open else self
        match how:
            case Ended.UNJUDGED:
                return known
            case Ended.FAILED:
                failures = self.failures + 1
                return replace(known, failures=failures, why=why)._after(_failed(failures), now, jitter)
            case Ended.ANSWERED if half_open and self.passed + 1 < TRIALS:
                return replace(known, passed=self.passed + 1)._after(Event.ANSWERED, now, jitter)
            case Ended.ANSWERED if half_open:
                return replace(known, failures=0, missed=0)._after(Event.PASSED, now, jitter)
            case Ended.ANSWERED if self.failures or self.missed:
                return replace(self, failures=0, missed=0)._after(Event.ANSWERED, now, jitter)
            case Ended.ANSWERED:
                return self

    def probed(self, why: str | None, now: float, jitter: float) -> Health:
        """An active probe was answered, or failed for the reason `why`; of a health that is `at` now.

        A probe that is answered does not wipe out requests that failed: what lists models may not answer prompts.
        """
        if why is None:
            event = Event.RETURNED if self.missed else Event.PROBED
            return replace(self, missed=0)._after(event, now, jitter)
        missed = self.missed + 1
        return replace(self, missed=missed, why=why)._after(_failed(missed), now, jitter)

    def busy(self, until: float) -> Health:
        """It said that it wants nothing before `until`. That is no illness."""
        return replace(self, busy_until=max(until, self.busy_until))

    def _after(self, event: Event, now: float, jitter: float) -> Health:
        state = TRANSITIONS[self.state, event]
        if state is State.DEGRADED:
            return self if event is Event.PROBED else replace(self, state=state, until=now + OPEN_SECONDS)
        if state is self.state:
            return self
        match state:
            case State.HEALTHY:
                return replace(self, state=state, until=math.inf, opened=0)
            case State.HALF_OPEN:
                return replace(self, state=state, until=math.inf, trials=0, passed=0)
            case State.OPEN:
                longest = min(OPEN_SECONDS * 2.0 ** min(self.opened, MOST_DOUBLINGS), MOST_OPEN_SECONDS)
                until = now + longest * (1 - jitter / 2)
                return replace(self, state=state, until=until, opened=self.opened + 1, period=self.period + 1)


def _failed(times: int) -> Event:
    if times >= OPEN_AFTER:
        return Event.FAILED_TOO_OFTEN
    return Event.FAILED_OFTEN if times >= DEGRADED_AFTER else Event.FAILED

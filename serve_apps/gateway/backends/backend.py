"""One backend as this process sees it: its window and its health. No I/O; the time comes in.

Kept in memory, and from one configuration to the next, whatever routes name it. A crash forgets it.
"""

from __future__ import annotations

import math

from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.fault import Fault, Meaning
from serve_apps.gateway.backends.health import Closed, Ended, Health
from serve_apps.gateway.backends.window import Window


class Backend:
    """`name` is what reasons and headers call it: its provider, or more where a provider has several. `now` is in
    seconds on a clock that does not go back; `jitter` is from 0 to 1, drawn anew. `heard_at` is when a request or probe
    told how it is last, -inf before.

    Each request that is sent is a `begin` and, with the period that gave, one of `answered`, `failed` and `left`.
    """

    __slots__ = ("health", "heard_at", "model", "name", "provider", "window")

    def __init__(self, name: str, provider: str, model: str) -> None:
        self.name = name
        self.provider = provider
        self.model = model
        self.window = Window()
        self.health = Health()
        self.heard_at = -math.inf

    def closed(self, now: float) -> Closed | None:
        """Why it must not be asked now, whatever the others are."""
        health = self.health
        if health.state is State.HEALTHY and health.busy_until <= now:
            return None
        if now >= health.until:
            self.health = health.at(now)
        return self.health.closed(now)

    def begin(self, now: float) -> int | None:
        """A request is about to be sent: the period it belongs to, None where it must not be sent."""
        if self.closed(now) is not None:
            return None
        self.health = self.health.sent()
        return self.health.period

    def answered(self, period: int, now: float, latency_ms: float) -> None:
        """A request had its whole answer, `latency_ms` after it was sent."""
        self.heard_at = now
        self.window.record(now, False, latency_ms)
        health = self.health
        if health.failures or health.missed or health.state is not State.HEALTHY:
            self.health = health.at(now).ended(period, Ended.ANSWERED, now, 0.0)

    def failed(self, period: int, fault: Fault, now: float, jitter: float, latency_ms: float | None = None) -> None:
        """`latency_ms` is how long a request was waited for that was given up for its slowness."""
        meaning, health = fault.meaning, self.health.at(now)
        if meaning is Meaning.BUSY:
            health = health.busy(now + fault.closed_s)
        if meaning.ill:
            self.heard_at = now
            self.window.record(now, True, latency_ms)
        self.health = health.ended(period, Ended.FAILED if meaning.ill else Ended.UNJUDGED, now, jitter, fault.words)

    def left(self, period: int, now: float) -> None:
        """The client left before the answer's end."""
        self.health = self.health.at(now).ended(period, Ended.UNJUDGED, now, 0.0)

    def probed(self, why: str | None, now: float, jitter: float) -> None:
        """An active probe was answered, or failed for the reason `why`."""
        self.heard_at = now
        self.health = self.health.at(now).probed(why, now, jitter)

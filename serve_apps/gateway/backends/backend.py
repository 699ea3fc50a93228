"""One backend as this process sees it: its window, its health, how the triggers stand. No I/O; the time comes in.

Kept in memory, and from one configuration to the next, whatever routes name it. A crash forgets it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from control.specs.trigger import STATUSES, WINDOW_SECONDS, Trigger
from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.fault import Fault, Meaning
from serve_apps.gateway.backends.health import Closed, Ended, Health
from serve_apps.gateway.backends.triggers import QUIET, Stand, judge
from serve_apps.gateway.backends.window import Window

JUDGE_SECONDS = 0.25
"""Between two looks at the measurements: one costs as much as some requests, and a minute's window hardly moves in
less. A change of health is looked at at once."""


class Backend:
    """`name` is what reasons and headers call it: its provider, or more where a provider has several. `now` is in
    seconds on a clock that does not go back; `jitter` is from 0 to 1, drawn anew. `triggers` may be replaced.
    Of two that are sick, the one with the lesser `badness` is better: by status, then by errors, then by how long half
    of its answers take at most. `heard_at` is when a request or probe told how it is last, -inf before.

    Each request that is sent is a `begin` and, with the period that gave, one of `answered`, `failed` and `left`.
    """

    __slots__ = (
        "_judged_until",
        "_sick",
        "_stands",
        "badness",
        "health",
        "heard_at",
        "model",
        "name",
        "provider",
        "triggers",
        "window",
    )

    def __init__(self, name: str, provider: str, model: str, triggers: Sequence[Trigger] = ()) -> None:
        self.name = name
        self.provider = provider
        self.model = model
        self.triggers = triggers
        self.window = Window()
        self.health = Health()
        self.badness = (0, 0.0, 0.0)
        self.heard_at = -math.inf
        self._stands: dict[Trigger, Stand] = {}
        self._sick = ""
        self._judged_until = 0.0

    def closed(self, now: float) -> Closed | None:
        """Why it must not be asked now, whatever the others are."""
        health = self.health
        if health.state is State.HEALTHY and health.busy_until <= now:
            return None
        if now >= health.until:
            self._turn(health.at(now))
        return self.health.closed(now)

    def sick(self, now: float) -> str:
        """Why the triggers keep requests from it while another one is well; empty where they do not.

        They let pass the requests that try a half-open one: nothing else would ever tell that it is well again.
        """
        if now >= self._judged_until:
            self._judge(now)
        return "" if self.health.state is State.HALF_OPEN else self._sick

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
            self._turn(health.at(now).ended(period, Ended.ANSWERED, now, 0.0))

    def failed(self, period: int, fault: Fault, now: float, jitter: float, latency_ms: float | None = None) -> None:
        """`latency_ms` is how long a request was waited for that was given up for its slowness."""
        meaning, health = fault.meaning, self.health.at(now)
        if meaning is Meaning.BUSY:
            health = health.busy(now + fault.closed_s)
        if meaning.ill:
            self.heard_at = now
            self.window.record(now, True, latency_ms)
        self._turn(health.ended(period, Ended.FAILED if meaning.ill else Ended.UNJUDGED, now, jitter, fault.words))

    def left(self, period: int, now: float) -> None:
        """The client left before the answer's end."""
        self._turn(self.health.at(now).ended(period, Ended.UNJUDGED, now, 0.0))

    def probed(self, why: str | None, now: float, jitter: float) -> None:
        """An active probe was answered, or failed for the reason `why`."""
        self.heard_at = now
        self._turn(self.health.at(now).probed(why, now, jitter))

    def _turn(self, health: Health) -> None:
        if health.state is not self.health.state:
            self._judged_until = 0.0
        self.health = health

    def _judge(self, now: float) -> None:
        status = self.health.state.status
        readings = {window_s: self.window.read(now, window_s) for window_s in {one.window_s for one in self.triggers}}
        self._stands = {
            trigger: judge(trigger, self._stands.get(trigger, QUIET), readings[trigger.window_s], status, now)
            for trigger in self.triggers
        }
        self._sick = "; ".join(stand.why for stand in self._stands.values() if stand.fired)
        if self._sick:
            whole = self.window.read(now, WINDOW_SECONDS)
            errors, median = whole.measure("error_rate")[0], whole.measure("latency_p50")[0]
            self.badness = (STATUSES.index(status), errors or 0.0, median or 0.0)
        self._judged_until = now + JUDGE_SECONDS

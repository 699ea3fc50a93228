"""One backend as one route's triggers see it: over the figures that it has of all routes. No I/O; the time comes in.

Kept in memory, and from one configuration to the next. A crash forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence

from control.specs.trigger import STATUSES, WINDOW_SECONDS, Trigger
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.breaker import State
from serve_apps.gateway.backends.triggers import QUIET, Stand, judge

JUDGE_SECONDS = 0.25
"""Between two looks at the measurements: one costs as much as some requests, and a minute's window hardly moves in
less. A change of health is looked at at once."""


class Watch:
    """How `triggers` stand at `backend`. Of two that are sick, the one with the lesser `badness` is better: by status,
    then by errors, then by how long half of its answers take at most.
    """

    __slots__ = ("_backend", "_judged_until", "_seen", "_sick", "_stands", "_triggers", "badness")

    def __init__(self, backend: Backend, triggers: Sequence[Trigger]) -> None:
        self.badness = (0, 0.0, 0.0)
        self._backend = backend
        self._triggers = triggers
        self._stands: dict[Trigger, Stand] = {}
        self._sick = ""
        self._seen: State | None = None
        self._judged_until = 0.0

    def go_on(self, before: Watch) -> None:
        """Those of the triggers that `before` has too stand as they stood there."""
        self._stands = before._stands

    def sick(self, now: float) -> str:
        """Why the triggers keep requests from it while another one is well; empty where they do not.

        They let pass the requests that try a half-open one: nothing else would ever tell that it is well again.
        """
        state = self._backend.health.state
        if now >= self._judged_until or state is not self._seen:
            self._judge(state, now)
        return "" if state is State.HALF_OPEN else self._sick

    def _judge(self, state: State, now: float) -> None:
        window, status = self._backend.window, state.status
        readings = {window_s: window.read(now, window_s) for window_s in {one.window_s for one in self._triggers}}
        self._stands = {
            trigger: judge(trigger, self._stands.get(trigger, QUIET), readings[trigger.window_s], status, now)
            for trigger in self._triggers
        }
        self._sick = "; ".join(stand.why for stand in self._stands.values() if stand.fired)
        if self._sick:
            whole = window.read(now, WINDOW_SECONDS)
            errors, median = whole.measure("error_rate")[0], whole.measure("latency_p50")[0]
            self.badness = (STATUSES.index(status), errors or 0.0, median or 0.0)
        self._seen, self._judged_until = state, now + JUDGE_SECONDS

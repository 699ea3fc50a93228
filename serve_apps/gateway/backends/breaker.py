"""The states of a backend, its circuit breaker's among them, and what leads from one to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    HEALTHY = "it answers"
    DEGRADED = "it failed several times in a row, and gets requests still"
    OPEN = "it failed too many times in a row, and gets no requests"
    HALF_OPEN = "it was left alone for a while, and gets some requests that try it"

    @property
    def status(self) -> str:
        """What `provider_status` is in a trigger."""
        match self:
            case State.HEALTHY:
                return "healthy"
            case State.DEGRADED | State.HALF_OPEN:
                return "degraded"
            case State.OPEN:
                return "unhealthy"


class Event(Enum):
    ANSWERED = "it answered a request"
    PASSED = "it answered the last of the requests that try it"
    FAILED = "a request or probe failed, one of few in a row"
    FAILED_OFTEN = "a request or probe failed, one of several in a row"
    FAILED_TOO_OFTEN = "a request or probe failed, one of too many in a row"
    PROBED = "it answered a probe, as it had the one before"
    RETURNED = "it answered a probe, and had not the one before"
    LAPSED = "the time is over that its state lasts"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.HEALTHY, Event.ANSWERED): State.HEALTHY,
    (State.HEALTHY, Event.FAILED): State.HEALTHY,
    (State.HEALTHY, Event.FAILED_OFTEN): State.DEGRADED,
    (State.HEALTHY, Event.FAILED_TOO_OFTEN): State.OPEN,
    (State.HEALTHY, Event.PROBED): State.HEALTHY,
    (State.HEALTHY, Event.RETURNED): State.HEALTHY,
    (State.DEGRADED, Event.ANSWERED): State.HEALTHY,
    (State.DEGRADED, Event.FAILED): State.DEGRADED,
    (State.DEGRADED, Event.FAILED_OFTEN): State.DEGRADED,
    (State.DEGRADED, Event.FAILED_TOO_OFTEN): State.OPEN,
    (State.DEGRADED, Event.PROBED): State.DEGRADED,  # its probes went well while its requests failed
    (State.DEGRADED, Event.RETURNED): State.HEALTHY,
    (State.DEGRADED, Event.LAPSED): State.HEALTHY,  # a trigger may keep all requests from it that could tell
    (State.OPEN, Event.FAILED): State.OPEN,
    (State.OPEN, Event.FAILED_OFTEN): State.OPEN,
    (State.OPEN, Event.FAILED_TOO_OFTEN): State.OPEN,
    (State.OPEN, Event.PROBED): State.OPEN,
    (State.OPEN, Event.RETURNED): State.HALF_OPEN,
    (State.OPEN, Event.LAPSED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.ANSWERED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.PASSED): State.HEALTHY,
    (State.HALF_OPEN, Event.FAILED): State.OPEN,
    (State.HALF_OPEN, Event.FAILED_OFTEN): State.OPEN,
    (State.HALF_OPEN, Event.FAILED_TOO_OFTEN): State.OPEN,
    (State.HALF_OPEN, Event.PROBED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.RETURNED): State.HALF_OPEN,
}
"""Pairs that are missing cannot happen; the test walks the full product."""

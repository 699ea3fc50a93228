"""One attempt that did not end well: what happened, and what that says of the backend and of the request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from serve_apps.gateway.errors import ApiError, Failure

BUSY_SECONDS = 1.0
"""How long a backend gets nothing that says it has too much, but not for how long."""
MOST_BUSY_SECONDS = 3600.0
"""A longer `Retry-After`, of a day's quota, is asked again once an hour: quotas are raised meanwhile."""


class Meaning(Enum):
    REQUEST = "the request is at fault: every backend would refuse it, or none should be asked again"
    BUSY = "the backend is well and has too much to do"
    UNASKED = "the backend was not asked: that says nothing of it, and another one may answer"
    DENIED = (
        "the backend does not take our key, our money or its model's name: others may, itself not before a person acts"
    )
    PASSING = "the backend failed, and may not the next time"
    SILENT = "the backend took longer than it may: it probably will again"

    @property
    def ill(self) -> bool:
        """Whether it counts against the backend's health."""
        match self:
            case Meaning.DENIED | Meaning.PASSING | Meaning.SILENT:
                return True
            case Meaning.REQUEST | Meaning.BUSY | Meaning.UNASKED:
                return False


@dataclass(frozen=True, slots=True)
class Fault:
    """How an attempt failed.

    `error` is what the client is told if this is the last word. `status` is the backend's own HTTP status, None where
    none came. `retry_after_s` is its `Retry-After` in seconds from now. `refused`: it refused the content by its
    policy, whatever the status, or without one a filter ended it. `delivered`: the client had some of the answer by
    then. `spent`: our account there has no money left. `unasked` is why nothing was sent to it, empty where something
    was.
    """

    failure: Failure
    error: ApiError
    status: int | None = None
    retry_after_s: float | None = None
    refused: bool = False
    delivered: bool = False
    spent: bool = False
    unasked: str = ""

    @property
    def meaning(self) -> Meaning:
        if self.unasked:
            return Meaning.UNASKED
        if self.refused:
            return Meaning.REQUEST
        if self.spent:
            return Meaning.DENIED
        match self.failure, self.status:
            case Failure.SILENT, _:
                return Meaning.SILENT
            case Failure.FAILED, 429:
                return Meaning.BUSY
            case Failure.FAILED, 503 | 529 if self.retry_after_s is not None:  # 529 is Anthropic's for overloaded
                return Meaning.BUSY
            case Failure.FAILED, 401 | 402 | 403 | 404:
                return Meaning.DENIED
            case Failure.FAILED, 408 | 409:  # of the 4xx the only others that are of the moment, not of the request
                return Meaning.PASSING
            case Failure.FAILED, int(status) if 400 <= status < 500:
                return Meaning.REQUEST
            case _:
                return Meaning.PASSING

    @property
    def closed_s(self) -> float:
        """For how many seconds a backend wants no more requests that is BUSY."""
        told = BUSY_SECONDS if self.retry_after_s is None else self.retry_after_s
        return min(max(told, 0.0), MOST_BUSY_SECONDS)

    @property
    def words(self) -> str:
        if self.unasked:
            return f"not asked: {self.unasked}"
        if self.status is not None:
            return f"answered {self.status}"
        return "ended by a filter" if self.refused else self.failure.name.lower()

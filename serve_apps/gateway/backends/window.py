"""How the requests at one backend went during the last minute. Pure: the time comes in. A crash forgets it all.

A ring of slots: counting costs the same however many requests there are, and a slot's histogram has at most as many
buckets as lie between 0.01 ms and `MOST_MS`, 237.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from control.specs.trigger import SLOT_SECONDS, WINDOW_SECONDS
from control.traffic import Histogram, bucket, quantile

SLOTS = round(WINDOW_SECONDS / SLOT_SECONDS)
MOST_MS = 60_000_000.0
"""What is slower counts as this, so that a clock gone wild costs no memory."""
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}


@dataclass(frozen=True, slots=True)
class Reading:
    """Requests that a backend is judged by, `errors` of them, and how long those took of which that is known."""

    requests: int
    errors: int
    latency_ms: Histogram

    def measure(self, metric: str) -> tuple[float | None, int]:
        """An error_rate as a fraction, a latency_* in seconds to within 5 %; None of no sample. And the sample's size:
        requests, or those of them with a latency.
        """
        if metric == "error_rate":
            return self.errors / self.requests if self.requests else None, self.requests
        ms = quantile(self.latency_ms, QUANTILES[metric])
        return None if ms is None else ms / 1000, sum(self.latency_ms.values())


@dataclass(slots=True)
class Slot:
    """`number` counts slots since the clock's zero."""

    number: int = -1
    requests: int = 0
    errors: int = 0
    latency_ms: dict[int, int] = field(default_factory=dict)


class Window:
    """`now` is in seconds on a clock that does not go back and is not negative."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots = [Slot() for _ in range(SLOTS)]

    def record(self, now: float, failed: bool, latency_ms: float | None) -> None:
        """A request ended. `latency_ms` is None where its time says nothing of the backend's, as of one that was
        refused at once; of one that was given up for its slowness it is how long it was waited for.
        """
        number = int(now // SLOT_SECONDS)
        slot = self._slots[number % SLOTS]
        if slot.number != number:
            slot.number, slot.requests, slot.errors, slot.latency_ms = number, 0, 0, {}
        slot.requests += 1
        slot.errors += failed
        if latency_ms is not None:
            index = bucket(latency_ms if latency_ms < MOST_MS else MOST_MS)
            slot.latency_ms[index] = slot.latency_ms.get(index, 0) + 1

    def read(self, now: float, seconds: float) -> Reading:
        """The slots of the last `seconds`, the one that `now` is in among them: up to a slot less than `seconds`."""
        oldest = int(now // SLOT_SECONDS) - round(seconds / SLOT_SECONDS) + 1
        requests = errors = 0
        latency_ms: dict[int, int] = {}
        for slot in self._slots:
            if slot.number >= oldest:
                requests += slot.requests
                errors += slot.errors
                for index, count in slot.latency_ms.items():
                    latency_ms[index] = latency_ms.get(index, 0) + count
        return Reading(requests, errors, latency_ms)

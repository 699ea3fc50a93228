"""What ended lately: the difference of readings that are half a minute apart.

Kept in memory only: after a crash nothing is known for the first seconds, and what is not known changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import reduce
from operator import add

from control.traffic import Traffic

WINDOW_SECONDS = 30.0
APART_SECONDS = 1.0

Counts = Mapping[str, Mapping[str, Traffic]]
"""Cumulative, by application and gateway replica."""


class Recent:
    """The readings of the last `WINDOW_SECONDS`, about one a second."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Counts]] = deque()

    def look(self, counts: Counts, now: float) -> dict[str, Traffic]:
        """What each application did since the oldest reading that is kept."""
        readings = self._readings
        if readings and now < readings[-1][0]:
            readings.clear()  # the clock was set back
        while len(readings) > 1 and readings[1][0] <= now - WINDOW_SECONDS:
            readings.popleft()
        oldest = readings[0][1] if readings else counts
        if not readings or now - readings[-1][0] >= APART_SECONDS:
            readings.append((now, counts))
        return {
            app: reduce(add, (count - oldest.get(app, {}).get(one, Traffic()) for one, count in counted.items()))
            for app, counted in counts.items()
            if counted
        }

"""Time as a value: decisions take `now`, only the loop reads a clock."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds since the epoch."""

system_clock: Clock = time.time

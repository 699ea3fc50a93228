"""What came of a simulated trace: when each job held devices, when it waited, how the cluster stood. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from control.scheduler.state import Lease, Rules
from control.scheduler.trace import Job


@dataclass(frozen=True)
class Costs:
    """What stopping and starting again costs, in seconds.

    A job that checkpoints writes one every `checkpoint_every` seconds that it runs; stopped, it goes on from the last.
    Any other starts over. A job that has run before needs `restart` before it does anything new. Whoever is told to
    stop uses all of its grace.
    """

    checkpoint_every: float = 600.0
    restart: float = 30.0


STATED_COSTS = Costs()
"""What a simulation counts with when nobody says otherwise."""


class End(Enum):
    """How a stint ended."""

    FINISHED = 0
    EVICTED = 1
    NODE_LOST = 2
    STILL_RUNNING = 3


@dataclass(frozen=True)
class Stint:
    """One lease of a job, from `lease.since` to `until`. Its work from `kept_from` to `kept_until` was not lost."""

    lease: Lease
    until: float
    kept_from: float
    kept_until: float
    end: End

    @property
    def milli(self) -> int:
        """What was held, in thousandths of a device."""
        return sum(len(piece.devices) * piece.milli for piece in self.lease.pieces)


@dataclass(frozen=True)
class Wait:
    """A job waited for devices from `since` to `until`, at a stretch."""

    since: float
    until: float

    @property
    def length(self) -> float:
        return self.until - self.since


@dataclass
class History:
    """What became of a job. `done`: seconds of work that are safe, as if it had all of its devices."""

    job: Job
    stints: list[Stint] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    done: float = 0.0
    reason: str = ""

    @property
    def finished_at(self) -> float | None:
        """None when it did not come to its end."""
        return self.stints[-1].until if self.stints and self.stints[-1].end is End.FINISHED else None


@dataclass(frozen=True)
class Sample:
    """How it stood from `at` on: thousandths of devices that there are, that are held, and that are free in a device
    of which a part is held; and how many jobs waited."""

    at: float
    there: int
    held: int
    broken: int
    waiting: int


@dataclass(frozen=True)
class Trajectory:
    """All that happened: the jobs in the order of their names, and how the cluster stood after each moment."""

    histories: tuple[History, ...]
    samples: tuple[Sample, ...]
    rules: Rules

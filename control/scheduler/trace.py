"""What is simulated: jobs that arrive, and nodes that fail. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from control.scheduler.state import WHOLE, Workload

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """A workload and what only time shows: with all of its devices it runs for `seconds`.

    It arrives at `workload.created_at`, in seconds of the virtual clock. `tenant` is who sent it.
    """

    workload: Workload
    seconds: float
    tenant: str = ""

    def arriving(self, at: float) -> Job:
        return replace(self, workload=replace(self.workload, created_at=at))


@dataclass(frozen=True)
class Outage:
    """A node is gone from `at` to before `until`, in seconds of the virtual clock."""

    node: str
    at: float
    until: float = math.inf


@dataclass(frozen=True)
class Trace:
    """Jobs in the order of their arrival. `remarks` say for people what was assumed and what was left out."""

    name: str
    jobs: tuple[Job, ...]
    outages: tuple[Outage, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, jobs: Iterable[Job], outages: Iterable[Outage] = (), remarks: Iterable[str] = ()) -> Trace:
        """The clock is set to 0 at the first arrival."""
        ordered = sorted(jobs, key=lambda job: (job.workload.created_at, job.workload.name))
        start = ordered[0].workload.created_at if ordered else 0.0
        return cls(
            name,
            tuple(job.arriving(job.workload.created_at - start) for job in ordered),
            tuple(Outage(one.node, one.at - start, one.until - start) for one in outages),
            tuple(remarks),
        )

    @property
    def span(self) -> float:
        """Seconds from the first arrival to the last."""
        return self.jobs[-1].workload.created_at if self.jobs else 0.0

    def load(self, devices: int, factor: float = 1.0) -> float:
        """How many of so many devices the jobs would keep busy on average up to the last arrival if none waited.

        With a `factor` that is of the trace compressed so much.
        """
        if not devices or not self.span:
            return 0.0
        milli, seconds, ahead = self._work
        return float((milli * np.minimum(seconds, ahead / factor)).sum()) / WHOLE / (devices * self.span / factor)

    @cached_property
    def _work(self) -> tuple[Floats, Floats, Floats]:
        """For each job the thousandths of a device it asks for, its run, and the time left to the last arrival."""
        milli = np.array([job.workload.milli_devices for job in self.jobs], dtype=np.float64)
        seconds = np.array([job.seconds for job in self.jobs], dtype=np.float64)
        return milli, seconds, self.span - np.array([job.workload.created_at for job in self.jobs], dtype=np.float64)

    def loading(self, devices: int, load: float) -> float:
        """The factor by which to compress the trace for it to load so many devices so much; 1.0 where it cannot."""
        low, high = 2.0**-20, 2.0**20
        if not self.load(devices, low) < load < self.load(devices, high):
            return 1.0
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.load(devices, middle) < load else (low, middle)
        return math.sqrt(low * high)

    def after(self, share: float) -> Trace:
        """Without the first jobs, by their share of all."""
        return Trace.of(self.name, self.jobs[round(share * len(self.jobs)) :], self.outages, self.remarks)

    def compressed(self, factor: float) -> Trace:
        """The same jobs, arriving `factor` times as fast; each runs as long as before. Outages come as much sooner."""
        jobs = tuple(job.arriving(job.workload.created_at / factor) for job in self.jobs)
        outages = tuple(Outage(one.node, one.at / factor, one.until / factor) for one in self.outages)
        return replace(self, jobs=jobs, outages=outages)

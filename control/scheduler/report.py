"""What a simulated history comes to, in figures. Pure.

A job's JCT (job completion time) is counted from its arrival to its end; its wait is all the time in between in which
it held nothing, after evictions too. Times are in seconds of the virtual clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from control.scheduler.patience import bounds
from control.scheduler.state import WHOLE
from control.scheduler.trajectory import End, History, Sample, Trajectory

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GangWait:
    """How long the jobs that ask for so many `devices` waited; shares of a device count as one."""

    devices: int
    jobs: int
    mean_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class Moment:
    """How it stood at `at_s`: `fragmented_pct` of what was free lay in devices of which a part was held."""

    at_s: float
    devices: float
    held: float
    fragmented_pct: float
    waiting: int


@dataclass(frozen=True)
class Report:
    """The shares are taken over the time between the first arrival and the last, while there is a load.

    `allocation_pct` of the devices were held, `utilisation_pct` did work that was not lost, and `fragmentation_pct` of
    what was free lay in devices of which a part was held. `fairness` is Jain's index over the tenants' speeds: the
    time that a tenant's jobs need alone, over the time that they took. `longest_wait_s` is the longest that a job
    waited at a stretch; `wait_bound_s` is the bound of that (module patience), and `over_bound` are those beyond it.
    """

    jobs: int
    finished: int
    jct_mean_s: float
    jct_p99_s: float
    wait_mean_s: float
    wait_p99_s: float
    wait_max_s: float
    longest_wait_s: float
    wait_bound_s: float
    over_bound: tuple[str, ...]
    waits: tuple[GangWait, ...]
    preemptions: int
    failures: int
    lost_device_s: float
    allocation_pct: float
    utilisation_pct: float
    fragmentation_pct: float
    fairness: float
    makespan_s: float
    never: tuple[tuple[str, str], ...]
    """Those who had not ended when nothing happened any more, and the scheduler's reason."""
    moments: tuple[Moment, ...]


def report(trajectory: Trajectory, moments: int = 200) -> Report:
    """The figures of a history, with at most so many `moments` of its course."""
    histories = trajectory.histories
    jct = _array(_jct(h) for h in histories if h.finished_at is not None)
    waited = _array(_waited(h) for h in histories)
    ends = [stint.end for h in histories for stint in h.stints]
    first = min((h.job.workload.created_at for h in histories), default=0.0)
    last = max((h.job.workload.created_at for h in histories), default=0.0)
    there = _integral(trajectory.samples, first, last, lambda sample: sample.there)
    held = _integral(trajectory.samples, first, last, lambda sample: sample.held)
    broken = _integral(trajectory.samples, first, last, lambda sample: sample.broken)
    waits = [(h.job.workload.name, wait) for h in histories for wait in h.waits]
    bound = bounds([wait for _, wait in waits], histories, trajectory.rules.patience)
    return Report(
        jobs=len(histories),
        finished=len(jct),
        jct_mean_s=_mean(jct),
        jct_p99_s=_p99(jct),
        wait_mean_s=_mean(waited),
        wait_p99_s=_p99(waited),
        wait_max_s=float(max(waited, default=0.0)),
        longest_wait_s=max((wait.length for _, wait in waits), default=0.0),
        wait_bound_s=max(bound, default=0.0),
        over_bound=tuple(name for (name, wait), most in zip(waits, bound, strict=True) if wait.length > most),
        waits=_by_size(histories),
        preemptions=ends.count(End.EVICTED),
        failures=ends.count(End.NODE_LOST),
        lost_device_s=sum(_lost(h) for h in histories),
        allocation_pct=_percent(held, there),
        utilisation_pct=_percent(sum(_useful(h, first, last) for h in histories), there),
        fragmentation_pct=_percent(broken, there - held),
        fairness=jain(_speeds(histories)),
        makespan_s=trajectory.samples[-1].at - first if trajectory.samples else 0.0,
        never=tuple((h.job.workload.name, h.reason) for h in histories if h.finished_at is None),
        moments=_moments(trajectory.samples, moments),
    )


def jain(values: Sequence[float]) -> float:
    """(Σx)² / (n Σx²): 1 when all are equal, 1/n when one has everything. Jain, Chiu, Hawe, DEC-TR-301, 1984."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def _jct(history: History) -> float:
    return (history.finished_at or 0.0) - history.job.workload.created_at


def _waited(history: History) -> float:
    return sum(wait.length for wait in history.waits)


def _lost(history: History) -> float:
    """Device-seconds that were held and came to nothing: warming up, and work that had to be done again."""
    return sum(
        (stint.until - stint.lease.since - (stint.kept_until - stint.kept_from)) * stint.milli / WHOLE
        for stint in history.stints
    )


def _useful(history: History, first: float, last: float) -> float:
    """Thousandths of devices × seconds between `first` and `last` whose work was not lost."""
    return sum(max(0.0, min(s.kept_until, last) - max(s.kept_from, first)) * s.milli for s in history.stints)


def _by_size(histories: Iterable[History]) -> tuple[GangWait, ...]:
    waits: dict[int, list[float]] = {}
    for history in histories:
        waits.setdefault(history.job.workload.devices, []).append(_waited(history))
    found = ((devices, np.array(waits[devices])) for devices in sorted(waits))
    return tuple(GangWait(devices, len(w), _mean(w), _p99(w), float(w.max())) for devices, w in found)


def _speeds(histories: Iterable[History]) -> list[float]:
    """For each tenant the time that its jobs need alone, over the time that they took."""
    alone: dict[str, float] = {}
    took: dict[str, float] = {}
    for history in histories:
        if history.finished_at is not None:
            tenant = history.job.tenant
            alone[tenant] = alone.get(tenant, 0.0) + history.job.seconds
            took[tenant] = took.get(tenant, 0.0) + _jct(history)
    return [alone[tenant] / took[tenant] for tenant in sorted(alone) if took[tenant]]


def _integral(samples: Sequence[Sample], first: float, last: float, of: Callable[[Sample], int]) -> float:
    """The integral over the time from `first` to `last` of what holds from each sample to the next."""
    if not samples:
        return 0.0
    ends = [sample.at for sample in samples[1:]] + [last]
    return sum(
        of(sample) * max(0.0, min(end, last) - max(sample.at, first)) for sample, end in zip(samples, ends, strict=True)
    )


def _moments(samples: Sequence[Sample], most: int) -> tuple[Moment, ...]:
    """At most so many of the samples, evenly spread over the time."""
    if not samples:
        return ()
    at = np.array([sample.at for sample in samples])
    wanted = np.linspace(at[0], at[-1], most)
    chosen = np.unique(np.searchsorted(at, wanted, side="right") - 1)
    return tuple(_moment(samples[index]) for index in chosen)


def _moment(sample: Sample) -> Moment:
    fragmented = _percent(sample.broken, sample.there - sample.held)
    return Moment(sample.at, sample.there / WHOLE, sample.held / WHOLE, fragmented, sample.waiting)


def _array(values: Iterable[float]) -> Times:
    return np.array(list(values), dtype=np.float64)


def _mean(values: Times) -> float:
    return float(values.mean()) if len(values) else 0.0


def _p99(values: Times) -> float:
    return float(np.percentile(values, 99)) if len(values) else 0.0


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else 0.0

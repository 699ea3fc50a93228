"""What the scheduler would make of a trace: the sessions of the live actor, driven by a virtual clock. Pure.

Events are put in a heap; at each moment at which something happens the scheduler gives one round of answers. It sees
of a job what it would see live: how long the job says that it runs, never how long it does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum

from control.scheduler.elastic import GROW_AFTER_SECONDS, grow
from control.scheduler.hold import hold
from control.scheduler.session import Session
from control.scheduler.state import WHOLE, Lease, Node, Phase, Rules, Workload
from control.scheduler.trace import Job, Outage
from control.scheduler.trajectory import STATED_COSTS, Costs, End, History, Sample, Stint, Trajectory, Wait


def simulate(
    nodes: Sequence[Node],
    rules: Rules,
    jobs: Iterable[Job],
    outages: Iterable[Outage] = (),
    costs: Costs = STATED_COSTS,
) -> Trajectory:
    """Run the trace to its end. Jobs that never fit are left waiting, with the scheduler's reason."""
    simulation = Simulation(nodes, rules, jobs, outages, costs)
    while simulation.step():
        pass
    return simulation.trajectory()


class _What(IntEnum):
    """What can happen, in the order in which it does where the time is the same."""

    ENDS = 0
    STOPS = 1
    RETURNS = 2
    FAILS = 3
    ARRIVES = 4
    WAKES = 5


class Simulation:
    """A run in progress: `step` goes to the next moment. Between steps `session` and `pending` can be looked at."""

    def __init__(
        self,
        nodes: Sequence[Node],
        rules: Rules,
        jobs: Iterable[Job],
        outages: Iterable[Outage] = (),
        costs: Costs = STATED_COSTS,
    ) -> None:
        """Raises ValueError when two jobs have one name, or an outage names no node."""
        self.now = 0.0
        self.pending: dict[str, Workload] = {}
        self.histories: dict[str, History] = {}
        self._rules, self._costs = rules, costs
        self._all = {node.name: node for node in nodes}
        self._up = dict(self._all)
        self._events: list[tuple[float, _What, int, str, int]] = []
        self._count = 0
        self._samples: list[Sample] = []
        for job in jobs:
            if job.workload.name in self.histories:
                raise ValueError(f"two jobs are named {job.workload.name!r}; expected every name once")
            self.histories[job.workload.name] = History(job)
            self._expect(job.workload.created_at, _What.ARRIVES, job.workload.name)
        for outage in outages:
            if outage.node not in self._all:
                raise ValueError(f"an outage of {outage.node!r}; expected a node of the cluster")
            self._expect(outage.at, _What.FAILS, outage.node)
            self._expect(outage.until, _What.RETURNS, outage.node)
        self._handlers: Mapping[_What, Callable[[str], bool]] = {
            _What.ENDS: self._ends,
            _What.STOPS: self._stops,
            _What.RETURNS: self._returns,
            _What.FAILS: self._fails,
            _What.ARRIVES: self._arrives,
            _What.WAKES: self._wakes,
        }
        self._meter = _Meter(self._all.values())
        self.session = self._session(())

    def step(self) -> bool:
        """Let happen what happens next, and answer those who wait; False when nothing happens any more."""
        if not self._events:
            return False
        self.now = self._events[0][0]
        changed = False
        while self._events and self._events[0][0] == self.now:
            _, what, _, name, stint = heapq.heappop(self._events)
            if stint == _ANY or stint == self._nth(name):
                changed |= self._handlers[what](name)
        if changed:
            self._settle()
        return True

    def trajectory(self) -> Trajectory:
        """What happened so far; who still runs or waits does so until now."""
        histories = []
        for name, history in sorted(self.histories.items()):
            stints, waits, reason = list(history.stints), list(history.waits), history.reason
            if (holder := self.session.holders.get(name)) is not None:
                stints.append(self._stint(holder, End.STILL_RUNNING))
            if (workload := self.pending.get(name)) is not None:
                waits.append(Wait(workload.waiting_since, self.now))
                reason = workload.reason
            histories.append(History(history.job, stints, waits, history.done, reason))
        return Trajectory(tuple(histories), tuple(self._samples), self._rules)

    def _expect(self, at: float, what: _What, name: str, stint: int | None = None) -> None:
        """With a `stint` the event is void unless the job is in its so-manieth stint then."""
        if at < math.inf:
            self._count += 1
            heapq.heappush(self._events, (at, what, self._count, name, _ANY if stint is None else stint))

    def _session(self, holders: Iterable[Workload]) -> Session:
        """What is asked for over the whole trace is the demand that the fragmentation policy weighs."""
        known = {name: history.job.workload for name, history in self.histories.items()}
        known |= {holder.name: holder for holder in holders}
        return Session.of(tuple(self._up.values()), self._rules, known.values(), self.now)

    def _settle(self) -> None:
        for workload in self.session.settle(self.pending.values(), self.now):
            match workload.phase:
                case Phase.PENDING:
                    self.pending[workload.name] = workload
                case Phase.LEASED:
                    self._start(workload)
                case Phase.EVICTING:
                    self._tell(workload)
        for holder in grow(self.session, self.pending.values(), self.now):
            self.session.holders[holder.name] = holder
            self._tell(holder)
        self._samples.append(self._meter.sample(self.now, self._up, len(self.pending)))

    def _start(self, workload: Workload) -> None:
        del self.pending[workload.name]
        history = self.histories[workload.name]
        if self.now > workload.waiting_since:
            history.waits.append(Wait(workload.waiting_since, self.now))
        if workload.lease is None:
            return
        self._meter.add(workload.lease, 1)
        left = (history.job.seconds - history.done) / _speed(workload, workload.lease)
        self._expect(self.now + self._warm_up(history) + left, _What.ENDS, workload.name, self._nth(workload.name))
        if workload.least and workload.lease.devices < workload.devices:
            self._expect(self.now + GROW_AFTER_SECONDS, _What.WAKES, workload.name, self._nth(workload.name))

    def _tell(self, holder: Workload) -> None:
        if holder.eviction is not None:
            self._expect(holder.eviction.deadline, _What.STOPS, holder.name, self._nth(holder.name))

    def _arrives(self, name: str) -> bool:
        self._wait(replace(self.histories[name].job.workload, waiting_since=self.now))
        return True

    def _ends(self, name: str) -> bool:
        self._leave(name, End.FINISHED)
        return True

    def _stops(self, name: str) -> bool:
        holder = self._leave(name, End.EVICTED)
        self._wait(hold(replace(holder, running=False), self._up, self.now))
        return True

    def _fails(self, name: str) -> bool:
        if self._up.pop(name, None) is None:
            return False
        for holder in tuple(self.session.holders.values()):
            if holder.lease is not None and name in holder.lease.nodes:
                self._wait(hold(self._leave(holder.name, End.NODE_LOST), self._up, self.now))
        self.session = self._session(self.session.holders.values())
        return True

    def _returns(self, name: str) -> bool:
        if name in self._up:
            return False
        self._up[name] = self._all[name]
        self.session = self._session(self.session.holders.values())
        return True

    def _wakes(self, name: str) -> bool:
        """Nothing has changed but the time: it has waited too long, or has run long enough to grow."""
        return name in self.pending or name in self.session.holders

    def _wait(self, workload: Workload) -> None:
        self.pending[workload.name] = workload
        self._expect(self.now + self._rules.patience, _What.WAKES, workload.name, self._nth(workload.name))

    def _leave(self, name: str, end: End) -> Workload:
        """Take the job off its devices and write down what it has done."""
        holder = self.session.holders[name]
        history = self.histories[name]
        stint = self._stint(holder, end)
        if holder.checkpoints or end is End.FINISHED:
            history.done += (stint.kept_until - stint.kept_from) * _speed(holder, stint.lease)
        history.stints.append(stint)
        self.session.release(name)
        self._meter.add(stint.lease, -1)
        return holder

    def _stint(self, holder: Workload, end: End) -> Stint:
        """The stint of a holder if it ended now: what it has done since it was warm, up to its last checkpoint."""
        if holder.lease is None:
            raise ValueError(f"{holder.name} holds nothing")
        warm = holder.lease.since + self._warm_up(self.histories[holder.name])
        worked = max(0.0, self.now - warm)
        if end in (End.EVICTED, End.NODE_LOST):
            every = self._costs.checkpoint_every
            worked = worked // every * every if holder.checkpoints else 0.0
        return Stint(holder.lease, self.now, warm, warm + worked, end)

    def _nth(self, name: str) -> int:
        """How many stints of the job are over: events of an earlier one are void."""
        return len(self.histories[name].stints)

    def _warm_up(self, history: History) -> float:
        return self._costs.restart if history.stints else 0.0


_ANY = -1


def _speed(workload: Workload, lease: Lease) -> float:
    """Elastic training is as fast as it has devices; 1 with all of them."""
    return lease.devices / workload.devices if workload.least else 1.0


class _Meter:
    """What is held of each device, kept up to date with every lease; in thousandths of a device."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._sizes: dict[str, int] = {}
        self._device_of: dict[str, str] = {}
        self._held: dict[str, int] = {}
        self._broken = 0
        for node in nodes:
            self._sizes[node.name] = WHOLE * len(node.devices)
            for device in node.devices:
                self._device_of |= dict.fromkeys((device.uuid, *(one.uuid for one in device.slices)), device.uuid)

    def add(self, lease: Lease, sign: int) -> None:
        for piece in lease.pieces:
            for uuid in piece.devices:
                device = self._device_of[uuid]
                before = self._held.get(device, 0)
                self._held[device] = before + sign * piece.milli
                self._broken += _left(self._held[device]) - _left(before)

    def sample(self, at: float, up: Iterable[str], waiting: int) -> Sample:
        return Sample(at, sum(self._sizes[name] for name in up), sum(self._held.values()), self._broken, waiting)


def _left(held: int) -> int:
    """What is free of a device of which something is held."""
    return WHOLE - held if held else 0

"""Replicas of shards without Ray: processes that a test kills, disks that outlive them, logs that are replicated.

It keeps to the contract of `control.specs.replica`; what it replicates are numbers. `leaders` has everyone who ever led
an epoch of a shard, `acknowledged` what a quorum was ever seen to have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from control.kernel.ids import ReplicaName
from control.kernel.plan import AskPromise, AssignReplica, EndReplica, EnsureReplica, RetuneReplica
from control.kernel.present import ReplicaView
from control.specs.replica import Assignment, Filling, Move, Promise, Source, Standing

ShardKey = tuple[str, str, int]


@dataclass
class Disk:
    """What a replica has made durable. An entry is the epoch of its leader and a number; 0 is that leader's first. It
    has all numbers of an earlier layout since the attempt `filled`, up to the entry `position`.

    `matched` is how far each other replica's log is known to go with a leader's own.
    """

    promised: int = 0
    assignment: Assignment | None = None
    leads: bool = False
    log: list[tuple[int, int]] = field(default_factory=list)
    committed: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    filled: int = 0
    position: int = 0

    @property
    def move(self) -> Move:
        return self.assignment.move if self.assignment else Move()

    @property
    def open(self) -> bool:
        """To clients."""
        fill = self.move.fill
        return not self.move.closed and (fill is None or 0 < fill.attempt == self.filled)

    @property
    def epoch(self) -> int:
        return self.assignment.epoch if self.assignment else 0


@dataclass
class Process:
    node_id: str
    directory: str
    generation: int
    pid: int
    alive: bool = True
    over: dict[int, int] = field(default_factory=dict)
    """By the part of a source the attempt in which it had nothing more; 0 once its numbers were copied."""


@dataclass
class _Known:
    """What one life of the control actor knows of a replica. `coming` is how it was when it was last asked: the answer
    is there when it looks again.
    """

    heard: float
    coming: Standing | None = None
    standing: Standing | None = None
    promise: Promise | None = None
    told: Assignment | None = None
    trouble: str = ""


def part_of(number: int, parts: int) -> int:
    """As `routing.shard_of` does it with ids."""
    return number * 7919 % 1009 * parts // 1009


class FakeReplicas:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.disks: dict[tuple[str, str], Disk] = {}  # by node id and directory
        self.processes: dict[str, Process] = {}
        self.unreachable: set[str] = set()  # by other replicas
        self.damaged: set[str] = set()
        self.leaders: defaultdict[tuple[ShardKey, int], set[str]] = defaultdict(set)
        self.acknowledged: defaultdict[ShardKey, set[int]] = defaultdict(set)
        self.sent: defaultdict[ShardKey, set[int]] = defaultdict(set)  # by clients
        self._known: dict[str, _Known] = {}
        self._gone: set[str] = set()
        self._pids = 0

    # What the control plane sees and does

    def look(self, live: Collection[str]) -> dict[str, ReplicaView]:
        for name in [name for name, one in self.processes.items() if one.node_id not in live]:
            del self.processes[name]
            self._known.pop(name, None)
        for name, known in self._known.items():
            process = self.processes[name]
            if not process.alive:
                known.told, known.coming, known.standing = None, None, None
                continue
            standing, known.coming = known.coming, self._standing(process, name in self.damaged)
            if standing is None:
                continue
            if known.standing is not None and known.standing.pid != standing.pid:
                known.told = None
            known.standing, known.heard = standing, self.clock()
        views = {
            name: ReplicaView(known.standing, self.clock() - known.heard, known.promise, known.told, known.trouble)
            for name, known in self._known.items()
        }
        return views | {name: ReplicaView(gone=True) for name in self._gone}

    def ensure(self, effect: EnsureReplica) -> None:
        request = effect.request
        found = self.processes.get(request.actor)
        if found is not None and found.node_id != effect.node_id:
            del self.processes[request.actor]
            return
        if found is None:
            self._pids += 1
            process = Process(effect.node_id, request.directory, request.generation, self._pids)
            self.processes[request.actor] = process
            self.disks.setdefault((process.node_id, process.directory), Disk())
        self._known.setdefault(request.actor, _Known(self.clock()))

    def end(self, effect: EndReplica) -> None:
        self._known.pop(effect.actor, None)
        if self.processes.pop(effect.actor, None) is None:
            self.disks.pop((effect.node_id, effect.directory), None)
            self._gone.add(effect.actor)

    def promise(self, effect: AskPromise) -> None:
        if (found := self._asked(effect.actor)) is None:
            return
        known, disk = found
        if effect.epoch < disk.promised:
            known.trouble = f"Fenced: it has promised {disk.promised}"
            return
        disk.promised = effect.epoch
        disk.leads = disk.leads and disk.epoch == effect.epoch
        last = disk.log[-1][0] if disk.log else 0
        known.promise, known.trouble = Promise(effect.epoch, last, len(disk.log)), ""

    def assign(self, effect: AssignReplica) -> None:
        if (found := self._asked(effect.actor)) is None:
            return
        known, disk = found
        assignment = effect.assignment
        leads = assignment.leader == effect.actor
        if disk.leads and assignment.epoch == disk.epoch and assignment.number < disk.assignment.number:  # type: ignore[union-attr]
            known.told, known.trouble = assignment, ""
            return
        if assignment.epoch < disk.promised or (leads and assignment.epoch == disk.epoch and not disk.leads):
            known.trouble = f"Fenced: it has promised {disk.promised}"
            return
        begins = leads and disk.epoch != assignment.epoch
        disk.promised, disk.assignment, disk.leads = assignment.epoch, assignment, leads
        if begins:
            disk.log.append((assignment.epoch, 0))
            disk.matched.clear()
            disk.filled = disk.position = 0
            self.processes[effect.actor].over.clear()
        if leads:
            self.leaders[_shard(effect.actor), assignment.epoch].add(effect.actor)
        known.told, known.trouble = assignment, ""

    def retune(self, effect: RetuneReplica) -> None:
        if self._asked(effect.actor) is not None:
            self.processes[effect.actor].generation = effect.generation

    def forget(self) -> None:
        """The control actor starts anew."""
        self._known.clear()
        self._gone.clear()

    def _asked(self, actor: str) -> tuple[_Known, Disk] | None:
        process = self.processes.get(actor)
        if actor not in self._known or process is None or not process.alive:
            return None
        return self._known[actor], self.disk(actor)

    def _standing(self, process: Process, damaged: bool) -> Standing:
        disk = self.disks[process.node_id, process.directory]
        committed = disk.log[disk.committed - 1][0] if disk.committed else 0
        return Standing(
            process.pid,
            process.generation,
            disk.promised,
            disk.epoch,
            disk.leads,
            committed,
            len(disk.log),
            degraded=("segment 3 is damaged",) if damaged else (),
            filling=self._filling(process, disk) if disk.leads and disk.move.fill else None,
        )

    def _filling(self, process: Process, disk: Disk) -> Filling:
        assert disk.move.fill is not None
        copied = len(process.over) / len(disk.move.fill.sources)
        return Filling(copied, filled=disk.filled, position=disk.position)

    # What the world does

    def disk(self, actor: str) -> Disk:
        process = self.processes[actor]
        return self.disks[process.node_id, process.directory]

    def kill(self, actor: str) -> None:
        self.processes[actor].alive = False

    def revive(self, actor: str) -> None:
        """Ray has started it again where it died."""
        self._pids += 1
        self.processes[actor].alive, self.processes[actor].pid = True, self._pids
        self.processes[actor].over.clear()

    def wipe(self, actor: str) -> None:
        """Its disk was replaced."""
        process = self.processes[actor]
        self.disks[process.node_id, process.directory] = Disk()

    def leading(self, actor: str) -> bool:
        process = self.processes.get(actor)
        return process is not None and process.alive and self.disk(actor).leads

    def write(self, actor: str, number: int) -> None:
        """A client asks a replica that believes to lead."""
        if self.leading(actor) and self.disk(actor).open:
            disk = self.disk(actor)
            disk.log.append((disk.epoch, number))
            self.sent[_shard(actor)].add(number)

    def replicate(self) -> None:
        """Every leader sends what it has to all who listen."""
        for actor in list(self.processes):
            for other in list(self.processes):
                self.send(actor, other)
        for actor in list(self.processes):
            self.fill(actor)

    def fill(self, actor: str) -> None:
        """The leader of a shard that is being filled copies what the leaders of its sources have."""
        if not self.leading(actor) or (fill := self.disk(actor).move.fill) is None or self.disk(actor).open:
            return
        disk, process = self.disk(actor), self.processes[actor]
        for source in fill.sources:
            found = next((one for one in source.members if self.leading(one) and one not in self.unreachable), None)
            if found is None or actor in self.unreachable:
                continue
            theirs, had = self.disk(found), {number for _, number in disk.log}
            known = [number for _, number in theirs.log[: theirs.committed] if number and number not in had]
            disk.log += [(disk.epoch, number) for number in known if part_of(number, fill.parts) == fill.part]
            over = (
                theirs.move.closed == fill.attempt
                and theirs.committed == len(theirs.log)
                and self._holds(source, theirs)
            )
            process.over[source.part] = fill.attempt if over else 0
        whole = len(process.over) == len(fill.sources) and all(one == fill.attempt for one in process.over.values())
        if fill.attempt and whole and disk.committed == len(disk.log):
            disk.filled, disk.position = fill.attempt, len(disk.log)

    def _holds(self, source: Source, leader: Disk) -> bool:
        """Whether no other one leads the source: a quorum has promised nobody else."""
        there = [one for one in source.members if one in self.processes and self.processes[one].alive]
        follow = [one for one in there if one not in self.unreachable and self.disk(one).promised <= leader.epoch]
        return len(follow) > len(source.members) // 2

    def send(self, actor: str, other: str) -> None:
        """What one leader has to another replica of its shard; and the leader sees what a quorum has."""
        if not self.leading(actor) or actor in self.unreachable:
            return
        disk = self.disk(actor)
        assert disk.assignment is not None
        fed = {*disk.assignment.members, *disk.assignment.learners} - {actor}
        if other in fed and self._heard(disk, other):
            disk.matched[other] = len(disk.log)
        disk.matched[actor] = len(disk.log)
        had = sorted((disk.matched.get(one, 0) for one in disk.assignment.members), reverse=True)
        common = had[len(had) // 2]
        if common and disk.log[common - 1][0] == disk.epoch:
            disk.committed = common
            self.acknowledged[_shard(actor)] |= {number for _, number in disk.log[:common] if number}

    def _heard(self, disk: Disk, other: str) -> bool:
        process = self.processes.get(other)
        if process is None or not process.alive or other in self.unreachable:
            return False
        theirs = self.disk(other)
        if theirs.promised > disk.epoch or (theirs.leads and theirs.epoch == disk.epoch):
            return False
        final = theirs.log[: theirs.committed]
        assert disk.log[: theirs.committed] == final, "what was committed is cut off for what was not"
        theirs.promised, theirs.log, theirs.leads = disk.epoch, list(disk.log), False
        return True


def _shard(actor: str) -> ShardKey:
    name = ReplicaName.parse(actor)
    assert name is not None
    return name.collection, name.life, name.shard

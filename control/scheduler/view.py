"""What the scheduler observes: Ray's nodes, groups and actors, and the stored workloads and rules.

One stored object that cannot be read any more is left out and named; it never stops the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from control.kernel.ids import (
    APP_WORKLOAD_PREFIX,
    STEP_PREFIX,
    STEP_WORKLOAD_PREFIX,
    VECTORS_PREFIX,
    VECTORS_WORKLOAD_PREFIX,
    AppName,
    ReplicaName,
    StepName,
)
from control.kernel.present import Drive
from control.kernel.store import Object, Store
from control.scheduler.ask import wanted
from control.scheduler.device_beats import DeviceBeats
from control.scheduler.nodes import Cordon, Foreign, agents_wanted, excess_on, live_nodes
from control.scheduler.rules import priorities_in, rules_of
from control.scheduler.state import (
    WHOLE,
    Broken,
    Eviction,
    Kind,
    Lease,
    Node,
    Phase,
    Piece,
    Snapshot,
    Workload,
    owner_of,
)
from control.specs.cluster import Cluster
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.queue import Queue
from control.specs.workload import Workload as WorkloadDocument

KINDS = ("Cluster", "ClusterPolicy", "ConfigMap", "Cordon", "Node", "Queue", "Workload")
"""The kinds of stored objects that the scheduler reads."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Status:
    """What the scheduler itself wrote of a workload. The fields are the workload's."""

    phase: Phase = Phase.PENDING
    reason: str = ""
    lease: Lease | None = None
    eviction: Eviction | None = None
    nominated: tuple[Piece, ...] = ()
    evictions: int = 0
    failed_binds: int = 0
    generation: int = 0
    waiting_since: float | None = None


@dataclass(frozen=True)
class _Order:
    """What a Cordon says."""

    reason: str
    drain: bool = False


_nodes = TypeAdapter(Node)
_statuses = TypeAdapter(_Status)
_orders = TypeAdapter(_Order)


class Memory:
    """What one pass leaves for the next: what it has read and how long it has seen others hold devices.

    Forgotten, it is found again; only an excess has to last anew.
    """

    def __init__(self) -> None:
        self.foreign = Foreign()
        self.device_beats = DeviceBeats()
        self._idle: dict[str, float] = {}
        self._unbound: dict[str, float] = {}
        self._seen: dict[str, tuple[Workload, Workload]] = {}
        self._read: dict[tuple[str, str], tuple[int, Any]] = {}

    def read(self, stored: Iterable[Object], parse: Callable[[Object], T]) -> list[T | Broken]:
        """Each object as `parse` has it, or why it cannot be had; parsed again only when its revision changed."""
        found: list[T | Broken] = []
        for o in stored:
            before = self._read.get((o.kind, o.name))
            if before is None or before[0] != o.revision:
                before = self._read[o.kind, o.name] = (o.revision, _parsed(o, parse))
            found.append(before[1])
        return found

    def as_seen(self, workload: Workload, running: bool, unbound_since: float | None) -> Workload:
        """The workload with what was seen of it; the same object as before while nothing changes."""
        now = (running, unbound_since is None, unbound_since or 0.0)
        if _seen(workload) == now:
            return workload
        read, seen = self._seen.get(workload.name, (None, workload))
        if read is not workload or _seen(seen) != now:
            seen = replace(workload, running=now[0], bound=now[1], unbound_since=now[2])
            self._seen[workload.name] = (workload, seen)
        return seen

    def unbound_since(self, workloads: Iterable[Workload], groups: Mapping[str, bool], now: float) -> dict[str, float]:
        """By group, since when Ray has not placed the groups of these leases; from now on where that is news."""
        unplaced = [w.group for w in workloads if w.group and not groups.get(w.group)]
        self._unbound = {group: self._unbound.get(group, now) for group in unplaced}
        return self._unbound

    def idle_since(self, nodes: Iterable[Node], workloads: Iterable[Workload], now: float) -> Mapping[str, float]:
        """Since when each device and slice has been without a holder; from now on where that is news."""
        held = {uuid for w in workloads if w.lease for piece in w.lease.pieces for uuid in piece.devices}
        held |= {d.uuid for node in nodes for d in node.devices if any(one.uuid in held for one in d.slices)}
        there = {d.uuid for node in nodes for d in node.devices}
        there |= {one.uuid for node in nodes for d in node.devices for one in d.slices}
        self._idle = {uuid: self._idle.get(uuid, now) for uuid in sorted(there - held)}
        return self._idle

    def keep(self, stored: Iterable[Object]) -> None:
        """Forget every object but these."""
        kept = {(o.kind, o.name) for o in stored}
        self._read = {key: value for key, value in self._read.items() if key in kept}
        self._seen = {name: value for name, value in self._seen.items() if ("Workload", name) in kept}


def observe(store: Store, drive: Drive, now: float, devices: str, memory: Memory) -> Snapshot:
    """`devices` is the directory in which the agents of simulated nodes keep their devices."""
    groups, seen = drive.groups(), drive.nodes()  # before the store: what is seen here was asked for by what is stored
    memory.device_beats.tell(store, seen, now)
    stored = store.list(*KINDS)
    before = stored_snapshot(stored, now, memory)
    clusters = [one for one in memory.read(_of(stored, "Cluster"), _cluster) if not isinstance(one, Broken)]
    cordons = [one for one in memory.read(_of(stored, "Cordon"), _cordon) if not isinstance(one, Broken)]
    memory.keep(stored)
    declared = [node for cluster in clusters for node in cluster.spec.nodes]
    nodes = live_nodes(declared, seen, cordons, before.known_nodes)
    running = frozenset(map(owner_of, groups)) | _running(before.workloads, drive)
    unbound = memory.unbound_since(before.workloads, groups, now)
    return replace(
        before,
        idle_since=memory.idle_since(nodes, before.workloads, now),
        nodes=tuple(memory.foreign.settle(nodes, excess_on(nodes, seen, before.workloads), before.known_nodes, now)),
        workloads=tuple(memory.as_seen(w, w.name in running, unbound.get(w.group)) for w in before.workloads),
        groups=groups,
        agents_wanted=agents_wanted(declared, seen, devices),
    )


def stored_snapshot(stored: Sequence[Object], now: float, memory: Memory) -> Snapshot:
    """What the store alone tells: the nodes as they were last written down, and nothing of what lives on Ray."""
    broken: list[Broken] = []

    def every(kind: str, parse: Callable[[Object], T]) -> list[T]:
        read = memory.read(_of(stored, kind), parse)
        broken.extend(one for one in read if isinstance(one, Broken))
        return [one for one in read if not isinstance(one, Broken)]

    every("Cluster", _cluster)
    every("Cordon", _cordon)
    policies = every("ClusterPolicy", lambda o: ClusterPolicy.model_validate(o.spec))
    config_maps = every("ConfigMap", lambda o: ConfigMap.model_validate(o.spec))
    queues = every("Queue", lambda o: Queue.model_validate(o.spec))
    known = tuple(every("Node", _node))
    workloads = tuple(every("Workload", workload_of))
    rules = rules_of(policies, config_maps, queues)
    return Snapshot(known, known, workloads, rules, now=now, broken=tuple(broken))


def known_nodes(stored: Iterable[Object]) -> tuple[Node, ...]:
    """The nodes as the scheduler last wrote them down, those that it can still read."""
    read = [_parsed(o, _node) for o in stored if o.kind == "Node"]
    return tuple(node for node in read if not isinstance(node, Broken))


def priorities_of(stored: Iterable[Object]) -> Mapping[str, int]:
    return priorities_in(ClusterPolicy.model_validate(o.spec) for o in stored if o.kind == "ClusterPolicy")


def workload_of(stored: Object) -> Workload:
    """The workload that an object asks for, with what the scheduler said of it.

    A status that cannot be read counts as none. A workload whose spec cannot be read keeps what it holds, as it is;
    raises ValidationError when it holds nothing.
    """
    try:
        status = _statuses.validate_python(dict(stored.status))
    except ValidationError:
        status = _Status()
    try:
        asked = wanted(stored.name, WorkloadDocument.model_validate(stored.spec).spec)
    except ValidationError:
        if status.lease is None:
            raise
        asked = _holding(stored.name, status.lease)
    since = stored.created_at if status.waiting_since is None else status.waiting_since
    # What is asked for anew is tried anew.
    failed_binds = status.failed_binds if status.generation == stored.generation else 0
    said = {**vars(status), "waiting_since": since, "failed_binds": failed_binds, "generation": stored.generation}
    return replace(asked, revision=stored.revision, created_at=stored.created_at, **said)


def _holding(name: str, lease: Lease) -> Workload:
    """A workload of which is only known what it holds."""
    return Workload(
        name=name,
        revision=0,
        kind=Kind.TRAINING,
        devices=lease.devices,
        memory=sum(piece.memory for piece in lease.pieces),
        device_memory=max((piece.device_memory for piece in lease.pieces), default=0),
        priority_class="training",
        created_at=0.0,
        milli=min((piece.milli for piece in lease.pieces), default=WHOLE),
        preemptible=False,
        readable=False,
    )


def _seen(workload: Workload) -> tuple[bool, bool, float]:
    return (workload.running, workload.bound, workload.unbound_since)


def _running(workloads: Sequence[Workload], drive: Drive) -> frozenset[str]:
    """The workloads of the steps and applications that live. Who holds nothing is not looked for."""
    holders = [w.name for w in workloads if w.lease is not None]
    found: set[str] = set()
    if any(name.startswith(STEP_WORKLOAD_PREFIX) for name in holders):
        found |= {step.workload for actor in drive.actors(STEP_PREFIX) if (step := StepName.parse(actor))}
    if any(name.startswith(APP_WORKLOAD_PREFIX) for name in holders):
        found |= {name.workload for app in drive.apps() if (name := AppName.parse(app))}
    if any(name.startswith(VECTORS_WORKLOAD_PREFIX) for name in holders):
        found |= {one.workload for actor in drive.actors(VECTORS_PREFIX) if (one := ReplicaName.parse(actor))}
    return frozenset(found)


def _of(stored: Iterable[Object], kind: str) -> Iterable[Object]:
    return (o for o in stored if o.kind == kind)


def _cluster(stored: Object) -> Cluster:
    return Cluster.model_validate(stored.spec)


def _cordon(stored: Object) -> Cordon:
    order = _orders.validate_python(dict(stored.spec))
    return Cordon(stored.name, order.reason, order.drain)


def _node(stored: Object) -> Node:
    return _nodes.validate_python(dict(stored.spec))


def _parsed(stored: Object, parse: Callable[[Object], T]) -> T | Broken:
    try:
        return parse(stored)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(key) for key in first["loc"])
        return Broken(stored.kind, stored.name, f"what is stored of it is no longer valid: {place}: {first['msg']}")

"""What the scheduler knows: nodes with devices, workloads that want some, leases that give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from control.kernel.ids import APP_WORKLOAD_PREFIX, STEP_WORKLOAD_PREFIX, VECTORS_WORKLOAD_PREFIX, digest
from control.scheduler.ordered import Ordered

_OURS = (STEP_WORKLOAD_PREFIX, APP_WORKLOAD_PREFIX, VECTORS_WORKLOAD_PREFIX)
"""How the names of workloads begin that the plane makes for what it starts itself."""
WHOLE = 1000
"""A whole device, in thousandths."""


@dataclass(frozen=True)
class Slice:
    """A MIG instance: `start` is its first memory slice, `uuid` the driver's name for it."""

    profile: str
    start: int
    uuid: str


@dataclass(frozen=True)
class Device:
    """One GPU. `memory` in bytes, without what the driver keeps; 0 means that nobody said.

    A simulated device has a UUID that begins with `SIM-`. A device with `mig` is only given out in its `slices`.
    Nothing new is placed on a device with a `cordon` (the reason); those who hold one in `trouble` have to leave.
    """

    uuid: str
    memory: int
    numa: int = 0
    mig: bool = False
    slices: tuple[Slice, ...] = ()
    trouble: str = ""
    cordon: str = ""


@dataclass(frozen=True)
class Node:
    """A node as declared and seen: `node_id` is Ray's, `resource` the Ray resource its devices count as.

    `cpu` in thousandths of a core (0: nobody said), `memory` in bytes. `links` holds for each pair of devices how
    they are joined, as `nvidia-smi topo -m` writes it; empty when that is unknown. `layout` is the MIG layout
    declared for the node (label `nvidia.com/mig.config`), `carve` says that idle devices may be cut on demand.
    `foreign` counts the devices that Ray has given to others than Biplane. A node with a `cordon` (the reason) takes
    nothing new; with `drain` those who are there have to leave.
    """

    name: str
    node_id: str
    resource: str
    gpu_model: str
    interconnect: str
    devices: tuple[Device, ...]
    memory: int
    simulated: bool
    cpu: int = 0
    rack: str = ""
    links: tuple[tuple[str, ...], ...] = ()
    layout: str = ""
    carve: bool = False
    foreign: int = 0
    cordon: str = ""
    drain: bool = False
    cuts: tuple[Ordered, ...] = ()
    """Cuts of its devices that were decided and not seen done yet: a crash leaves them in the store."""


@dataclass(frozen=True)
class Ask:
    """What one piece of a workload needs of one node.

    `milli` below 1000 is a share of a single device (time-slicing). `device_memory` (on each device) and `memory`
    (host) in bytes, `cpu` in thousandths of a core. No `models` means any GPU model.
    """

    devices: int = 0
    milli: int = WHOLE
    device_memory: int = 0
    cpu: int = 0
    memory: int = 0
    models: frozenset[str] = frozenset()

    def accepts(self, model: str) -> bool:
        """Whether a device of this model will do: H100-80GB asks for what NVML calls NVIDIA H100 80GB HBM3."""
        return not self.models or any(_words(asked) <= _words(model) for asked in self.models)


def _words(model: str) -> frozenset[str]:
    return frozenset(model.lower().replace("-", " ").split())


@dataclass(frozen=True)
class Piece:
    """A part of a lease: these devices (or slices) of one node, `memory` host bytes and `cpu` thousandths of a core.

    `milli` is how much of each device is given: 1000, a share, or a MIG slice's part of the device's memory slices;
    `profile` is set where `devices` are MIG slices.
    """

    node: str
    node_id: str
    resource: str
    devices: tuple[str, ...]
    memory: int = 0
    cpu: int = 0
    milli: int = WHOLE
    device_memory: int = 0
    profile: str = ""


@dataclass(frozen=True)
class Lease:
    """The scheduler's answer: what the workload holds until it is removed or evicted. `since` in Unix seconds."""

    pieces: tuple[Piece, ...]
    since: float = 0.0

    @property
    def devices(self) -> int:
        return sum(len(piece.devices) for piece in self.pieces)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(piece.node for piece in self.pieces))


class Span(Enum):
    """How far the members of a gang may be apart."""

    NODE = "node"
    RACK = "rack"
    CLUSTER = "cluster"


class Phase(Enum):
    """Where a workload stands."""

    PENDING = "Pending"
    LEASED = "Leased"
    EVICTING = "Evicting"  # asked to stop; it holds its devices until it has

    @property
    def holds_devices(self) -> bool:
        match self:
            case Phase.PENDING:
                return False
            case Phase.LEASED | Phase.EVICTING:
                return True


class Happening(Enum):
    """What one pass found out about a workload."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    HOLDS = "holds"
    NODE_LOST = "node lost"
    CHOSEN = "chosen as a victim"
    STOPPED = "stopped"


TRANSITIONS: Mapping[tuple[Phase, Happening], Phase] = {
    (Phase.PENDING, Happening.FITS): Phase.LEASED,
    (Phase.PENDING, Happening.DOES_NOT_FIT): Phase.PENDING,
    (Phase.LEASED, Happening.HOLDS): Phase.LEASED,
    (Phase.LEASED, Happening.NODE_LOST): Phase.PENDING,
    (Phase.LEASED, Happening.CHOSEN): Phase.EVICTING,
    (Phase.EVICTING, Happening.HOLDS): Phase.EVICTING,
    (Phase.EVICTING, Happening.STOPPED): Phase.PENDING,
    (Phase.EVICTING, Happening.NODE_LOST): Phase.PENDING,
}
"""Pairs that are missing cannot happen: only a pending workload is fitted, only a leased one is chosen as a victim,
and a victim gives its devices back only when it has stopped or its node is gone."""


class Kind(Enum):
    """What a workload is for: each kind has its own policy."""

    TRAINING = "training"
    INFERENCE = "inference"
    BATCH = "batch"


@dataclass(frozen=True)
class SliceProfile:
    """What a model does on one MIG slice, declared or measured: `latency_ms` at `requests_per_second`, its memory."""

    slice: str
    latency_ms: float
    requests_per_second: float
    memory: int


@dataclass(frozen=True)
class Eviction:
    """Why a holder has to stop: for `by`, at the latest at `deadline` (Unix seconds)."""

    by: str
    deadline: float


@dataclass(frozen=True)
class Workload:
    """A request for devices.

    `devices` in all; a training job that declares `least` runs with any number from there up to `devices`. Inference
    runs as `replicas` equal parts. `memory` (host, in all) and `device_memory` (each device) in bytes, `cpu` in
    thousandths of a core in all. `milli` below 1000 is a share of one device. `slice` names a MIG profile that is
    wanted; with `latency_ms` the smallest of `profiles` that keeps it (at `requests_per_second`) is chosen.
    `duration` is how many seconds the workload says it runs; `grace` how many it has to checkpoint when it is evicted.
    """

    name: str
    revision: int
    kind: Kind
    devices: int
    memory: int
    device_memory: int
    priority_class: str
    created_at: float
    phase: Phase = Phase.PENDING
    lease: Lease | None = None
    reason: str = ""
    least: int = 0
    replicas: int = 1
    cpu: int = 0
    milli: int = WHOLE
    models: frozenset[str] = frozenset()
    span: Span = Span.NODE
    slice: str = ""
    latency_ms: float = 0.0
    requests_per_second: float = 0.0
    profiles: tuple[SliceProfile, ...] = ()
    queue: str = ""
    duration: float = 0.0
    preemptible: bool = True
    checkpoints: bool = False
    grace: float = 30.0
    eviction: Eviction | None = None
    nominated: tuple[Piece, ...] = ()
    """What a waiting workload gets once those have stopped that were told to for it."""
    evictions: int = 0
    waiting_since: float = 0.0
    running: bool = False
    """Whether something of it was seen alive on Ray: a placement group, a step, an application."""
    bound: bool = True
    """False while Ray has not placed the group of its lease, be it that nobody could ask for it."""
    unbound_since: float = 0.0
    """Since when (Unix seconds) that has been seen so; 0 where nobody said."""
    failed_binds: int = 0
    """How often Ray did not place it since it last was, or since it was last asked for (`generation`)."""
    generation: int = 0
    readable: bool = True
    """False when its specification cannot be read any more: all that is known of it is what it holds."""

    @property
    def milli_devices(self) -> int:
        """What it holds, or asks for while it holds nothing, in thousandths of a device."""
        if self.lease is None:
            return self.devices * self.milli
        return sum(len(piece.devices) * piece.milli for piece in self.lease.pieces)

    @property
    def group(self) -> str:
        """The name of the placement group by which Ray holds its lease and no other; empty where none does.

        What the plane itself starts on a lease asks Ray for it: a second one would hold the same devices twice.
        """
        if self.lease is None or self.name.startswith(_OURS):
            return ""
        return f"{self.name}:{_digest(self.lease.pieces)}"


def owner_of(group: str) -> str:
    """The workload that a placement group was made for."""
    return group.partition(":")[0]


@lru_cache(maxsize=16384)
def _digest(pieces: tuple[Piece, ...]) -> str:
    return digest([asdict(piece) for piece in pieces])


@dataclass(frozen=True)
class Queue:
    """A tenant's share: `quota` devices of its own, of which others may borrow what stands idle.

    `parent` is the cohort that it lends to and borrows from; `borrow` bounds what it takes beyond its quota
    (None: no bound), `weight` its fair share of what is contended.
    """

    name: str
    parent: str = ""
    quota: int = 0
    borrow: int | None = None
    lend: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Sharing:
    """Time-slicing: a device opened to it is given to at most `replicas` holders, together within its memory."""

    replicas: int = 1
    training: bool = False
    source: str = ""


@dataclass(frozen=True)
class Rules:
    """How the scheduler decides. `patience`: after so many seconds of waiting a workload goes ahead of every class.

    Without `backfill` nobody goes ahead of the head of the queue.
    """

    priorities: Mapping[str, int]
    preemption: bool = False
    backfill: bool = True
    patience: float = 86400.0
    max_evictions: int = 5
    """A workload that was evicted so often is no victim any more: it runs to its end."""
    sharing: Sharing = Sharing()
    queues: tuple[Queue, ...] = ()
    layouts: Mapping[str, Mapping[int, Mapping[str, int]]] = field(default_factory=dict)
    """Declared MIG layouts: name → device index → profile → how many. An index of -1 stands for every device."""


@dataclass(frozen=True)
class AgentWanted:
    """A node whose agent has told nothing yet: its name and Ray id, the device driver's import path and arguments."""

    name: str
    node_id: str
    driver: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Broken:
    """A stored object that says nothing any more, and why: the pass goes on without it."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """One look: the nodes that live, what the store last said of the nodes, every workload, and the rules."""

    nodes: tuple[Node, ...]
    known_nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...]
    rules: Rules
    now: float = 0.0
    groups: Mapping[str, bool] = field(default_factory=dict)
    """The placement groups of workloads that Ray has, by their names; True for those that are placed."""
    idle_since: Mapping[str, float] = field(default_factory=dict)
    """Since when (Unix seconds) each device or slice that nobody holds has been seen so."""
    agents_wanted: tuple[AgentWanted, ...] = ()
    broken: tuple[Broken, ...] = ()

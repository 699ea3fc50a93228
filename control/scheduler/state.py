"""What the scheduler knows: nodes with devices, workloads that want some, leases that give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Device:
    """One GPU. `memory` in bytes; a simulated device has a UUID that begins with `SIM-`."""

    uuid: str
    memory: int


@dataclass(frozen=True)
class Node:
    """A node as declared and seen: `node_id` is Ray's, `resource` the Ray resource its devices count as."""

    name: str
    node_id: str
    resource: str
    gpu_model: str
    interconnect: str
    devices: tuple[Device, ...]
    memory: int
    simulated: bool


@dataclass(frozen=True)
class Lease:
    """The scheduler's answer: these devices, and `memory` bytes, of this node until the workload is removed."""

    node: str
    node_id: str
    resource: str
    devices: tuple[str, ...]
    memory: int


class Phase(Enum):
    """Where a workload stands."""

    PENDING = "Pending"
    LEASED = "Leased"

    @property
    def holds_devices(self) -> bool:
        match self:
            case Phase.PENDING:
                return False
            case Phase.LEASED:
                return True


class Happening(Enum):
    """What one pass found out about a workload."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    HOLDS = "holds"
    NODE_LOST = "node lost"
    CHANGED = "asks for something else"


TRANSITIONS: Mapping[tuple[Phase, Happening], Phase] = {
    (Phase.PENDING, Happening.FITS): Phase.LEASED,
    (Phase.PENDING, Happening.DOES_NOT_FIT): Phase.PENDING,
    (Phase.LEASED, Happening.HOLDS): Phase.LEASED,
    (Phase.LEASED, Happening.NODE_LOST): Phase.PENDING,
    (Phase.LEASED, Happening.CHANGED): Phase.PENDING,
}
"""Pairs that are missing cannot happen: only a pending workload is fitted, only a leased one can lose."""


@dataclass(frozen=True)
class Workload:
    """A request for devices. `memory` (host) and `device_memory` (each device) in bytes; higher priority first."""

    name: str
    revision: int
    kind: str
    devices: int
    memory: int
    device_memory: int
    priority_class: str
    created_at: float
    phase: Phase = Phase.PENDING
    lease: Lease | None = None
    reason: str = ""


@dataclass(frozen=True)
class Snapshot:
    """One look: the nodes that live, what the store last said of the nodes, every workload, the priorities."""

    nodes: tuple[Node, ...]
    known_nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...]
    priorities: Mapping[str, int]

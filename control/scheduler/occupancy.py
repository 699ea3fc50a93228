"""Who is where: nodes, devices, slices and leases as a picture needs them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from control.scheduler.state import WHOLE, Device, Node, Workload


class Use(Enum):
    """What a device, or a part of it, is used for now."""

    FREE = "free"
    WHOLE = "whole"
    SHARED = "shared"
    SLICED = "sliced"
    FOREIGN = "foreign"
    TROUBLE = "trouble"


@dataclass(frozen=True)
class Part:
    """A MIG slice of a device; `holder` is the workload's name, empty when it is free."""

    profile: str
    start: int
    holder: str


@dataclass(frozen=True)
class DeviceUse:
    """One device. `held` and the holders' parts in thousandths; `memory` in bytes."""

    uuid: str
    memory: int
    use: Use
    held: int
    holders: tuple[str, ...]
    slices: tuple[Part, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class NodeUse:
    """One node. `largest` is how many whole devices one workload could still get here."""

    name: str
    gpu_model: str
    simulated: bool
    interconnect: str
    rack: str
    cordon: str
    devices: tuple[DeviceUse, ...]
    largest: int

    @property
    def free_milli(self) -> int:
        return sum(WHOLE - d.held for d in self.devices if d.use not in (Use.TROUBLE, Use.FOREIGN))


@dataclass(frozen=True)
class Occupancy:
    """All nodes. `fragmented_pct`: of what is free, how much lies in devices that are not wholly free."""

    nodes: tuple[NodeUse, ...]
    devices: int
    held_milli: int
    fragmented_pct: float


def occupancy(nodes: Iterable[Node], workloads: Iterable[Workload]) -> Occupancy:
    holders: dict[str, list[tuple[str, int]]] = {}
    for workload in workloads:
        for piece in workload.lease.pieces if workload.lease else ():
            for uuid in piece.devices:
                holders.setdefault(uuid, []).append((workload.name, piece.milli))
    used = tuple(_node(node, holders) for node in sorted(nodes, key=lambda node: node.name))
    free = sum(node.free_milli for node in used)
    whole = sum(WHOLE for node in used for device in node.devices if device.use is Use.FREE)
    return Occupancy(
        nodes=used,
        devices=sum(len(node.devices) for node in used),
        held_milli=sum(device.held for node in used for device in node.devices),
        fragmented_pct=round(100 * (free - whole) / free, 1) if free else 0.0,
    )


def _node(node: Node, holders: dict[str, list[tuple[str, int]]]) -> NodeUse:
    devices = [_device(device, holders) for device in node.devices]
    # Ray does not say which devices it has given to others: the scheduler keeps the last free ones out of its hands.
    foreign = node.foreign
    for index in reversed(range(len(devices))):
        if foreign and devices[index].use is Use.FREE:
            devices[index] = DeviceUse(devices[index].uuid, devices[index].memory, Use.FOREIGN, 0, ())
            foreign -= 1
    return NodeUse(
        name=node.name,
        gpu_model=node.gpu_model,
        simulated=node.simulated,
        interconnect=node.interconnect,
        rack=node.rack,
        cordon=node.cordon,
        devices=tuple(devices),
        largest=0 if node.cordon else sum(device.use is Use.FREE for device in devices),
    )


def _device(device: Device, holders: dict[str, list[tuple[str, int]]]) -> DeviceUse:
    parts = tuple(
        Part(one.profile, one.start, ", ".join(name for name, _ in holders.get(one.uuid, ()))) for one in device.slices
    )
    uuids = (device.uuid, *(one.uuid for one in device.slices))
    here = [holding for uuid in uuids for holding in holders.get(uuid, ())]
    held = sum(milli for _, milli in here)
    return DeviceUse(
        uuid=device.uuid,
        memory=device.memory,
        use=_use(device, held, len(here)),
        held=held,
        holders=tuple(dict.fromkeys(name for name, _ in here)),
        slices=parts,
        trouble=device.trouble or (f"cordoned: {device.cordon}" if device.cordon else ""),
    )


def _use(device: Device, held: int, holders: int) -> Use:
    if device.trouble or (device.cordon and not holders):
        return Use.TROUBLE
    if device.mig:
        return Use.SLICED
    if not holders:
        return Use.FREE
    return Use.WHOLE if held == WHOLE and holders == 1 else Use.SHARED

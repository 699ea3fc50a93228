"""The devices that may be cut as `repartition` sees them, and its answers as orders. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from control.scheduler.mig import geometry_of
from control.scheduler.repartition import Part, Recut, Sheet
from control.scheduler.state import Device, Node, Snapshot, Workload
from control.specs.inventory import CutOrder, SlicePlace, SliceReport

Holders = Mapping[str, tuple[str, ...]]
"""Device or slice → the workloads that hold it, or are to have it as soon as others have stopped."""


def holders_of(workloads: Iterable[Workload]) -> Holders:
    found: dict[str, tuple[str, ...]] = {}
    for workload in workloads:
        pieces = workload.lease.pieces if workload.lease else workload.nominated
        for uuid in (uuid for piece in pieces for uuid in piece.devices):
            found[uuid] = (*found.get(uuid, ()), workload.name)
    return found


def sheet_of(node: Node, device: Device, holders: Holders, snapshot: Snapshot) -> Sheet | None:
    """None when the device cannot be cut or takes nothing new."""
    geometry = geometry_of(node.gpu_model, device.memory)
    if geometry is None or device.trouble or device.cordon:
        return None

    def idle(uuid: str) -> float:
        return snapshot.now - snapshot.idle_since.get(uuid, snapshot.now)

    parts = tuple(Part(one, "".join(holders.get(one.uuid, ())[:1]), idle(one.uuid)) for one in device.slices)
    return Sheet(device.uuid, geometry, device.mig, parts, holders.get(device.uuid, ()), idle_seconds=idle(device.uuid))


def order_of(recut: Recut) -> CutOrder:
    return CutOrder(
        device=recut.device,
        mig=recut.mig,
        destroy=tuple(SliceReport(one.profile, one.start, one.uuid) for one in recut.destroy),
        create=tuple(SlicePlace(one.profile, one.start) for one in recut.create),
    )


def closed(nodes: Iterable[Node], reasons: Mapping[str, str]) -> tuple[Node, ...]:
    """Nothing new goes to a device that is about to be cut (device → why): nobody would ever have left it, or whoever
    came before the agent has done it would lose what it got."""
    return tuple(_closed(node, reasons) if any(d.uuid in reasons for d in node.devices) else node for node in nodes)


def _closed(node: Node, reasons: Mapping[str, str]) -> Node:
    devices = (
        replace(d, cordon=f"it is being cut: {reasons[d.uuid]}") if d.uuid in reasons else d for d in node.devices
    )
    return replace(node, devices=tuple(devices))

"""Which devices to cut anew now: for declared layouts, and for those who wait for a slice or a device. Pure.

It translates: what the scheduler knows into the sheets of `repartition`, and its answer into orders for the nodes'
agents and holders that have to leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from control.kernel.plan import CutDevice
from control.scheduler.inference import sufficient_slices
from control.scheduler.layout import EVERY
from control.scheduler.mig import geometry_of
from control.scheduler.repartition import Part, Recut, Sheet, Wanted, plan_layout, plan_recuts
from control.scheduler.session import ITS_OWN_SAKE, Session, evicted
from control.scheduler.state import Device, Node, Phase, Snapshot, Workload
from control.specs.inventory import CutOrder, SlicePlace, SliceReport

Holders = Mapping[str, tuple[str, ...]]
"""Device or slice → the workloads that hold it, or are to have it as soon as others have stopped."""


@dataclass(frozen=True)
class Declared:
    """What declared layouts come to: the nodes, their devices closed where they are not yet as declared; the orders
    that can be carried out; and the workloads, those told to leave whose slices have no room."""

    nodes: tuple[Node, ...]
    orders: tuple[CutDevice, ...]
    workloads: tuple[Workload, ...]


def cut_as_declared(workloads: tuple[Workload, ...], snapshot: Snapshot) -> Declared:
    holders = _holders(workloads)
    recuts = {
        recut.device: (node, recut)
        for node in snapshot.nodes
        if node.layout in snapshot.rules.layouts
        for recut in _towards_layout(node, holders, snapshot)
    }
    why = {name: recut.reason for _, recut in recuts.values() for name in recut.leave}
    return Declared(
        nodes=tuple(_closed(node, {uuid: recut for uuid, (_, recut) in recuts.items()}) for node in snapshot.nodes),
        orders=tuple(_order(node, recut) for node, recut in recuts.values() if not recut.leave),
        workloads=tuple(
            evicted(w, ITS_OWN_SAKE, why[w.name], snapshot.now) if w.name in why and w.phase is Phase.LEASED else w
            for w in workloads
        ),
    )


def cut_on_demand(workloads: Iterable[Workload], session: Session, snapshot: Snapshot) -> tuple[CutDevice, ...]:
    """Orders for nodes that may be cut on demand, for those who still wait and whom the quotas would let in."""
    workloads = tuple(workloads)
    holders = _holders(workloads)
    where = {
        device.uuid: (node, sheet)
        for node in snapshot.nodes
        if node.carve and not node.layout and not node.cordon
        for device in node.devices
        if (sheet := _sheet(node, device, holders, snapshot)) is not None
    }
    waiting = [
        w
        for w in workloads
        if w.phase is Phase.PENDING and not w.nominated and not session.quotas.refusal(w, w.milli_devices)
    ]
    wanted = [one for w in waiting if (one := _wanted(w, snapshot)) is not None]
    if not where or not waiting:
        return ()
    asked = Counter(profile for w in workloads if (profile := _profile(w)))
    recuts = plan_recuts((sheet for _, sheet in where.values()), wanted, asked)
    orders = [_order(where[recut.device][0], recut) for recut in recuts.cuts]
    return tuple(orders) or _made_whole(waiting, where, snapshot)


def _made_whole(
    waiting: Iterable[Workload], where: Mapping[str, tuple[Node, Sheet]], snapshot: Snapshot
) -> tuple[CutDevice, ...]:
    """For the first that needs several devices of one node: the first node that can have so many whole."""
    by_node: dict[str, list[tuple[Node, Sheet]]] = {}
    for node, sheet in where.values():
        by_node.setdefault(node.name, []).append((node, sheet))
    for workload in waiting:
        count = (workload.least or workload.devices) // workload.replicas
        if count < 2 or _profile(workload):
            continue
        wanted = replace(_want(workload, "", snapshot), count=count)
        for _, sheets in sorted(by_node.items()):
            recuts = plan_recuts((sheet for _, sheet in sheets), [wanted], {})
            if recuts.cuts and not recuts.waits:
                return tuple(_order(sheets[0][0], recut) for recut in recuts.cuts)
    return ()


def _towards_layout(node: Node, holders: Holders, snapshot: Snapshot) -> Iterator[Recut]:
    layout = snapshot.rules.layouts[node.layout]
    for index, device in enumerate(node.devices):
        counts = layout.get(index, layout.get(EVERY))
        sheet = _sheet(node, device, holders, snapshot)
        if counts is not None and sheet is not None:
            recut = plan_layout(sheet, node.layout, counts)
            if isinstance(recut, Recut):
                yield recut


def _closed(node: Node, recuts: Mapping[str, Recut]) -> Node:
    """Nothing new goes to a device that is about to be cut, or nobody would ever have left it."""
    if not any(device.uuid in recuts for device in node.devices):
        return node
    devices = (
        replace(d, cordon=f"it is being cut: {recuts[d.uuid].reason}") if d.uuid in recuts else d for d in node.devices
    )
    return replace(node, devices=tuple(devices))


def _wanted(workload: Workload, snapshot: Snapshot) -> Wanted | None:
    profile = _profile(workload)
    return _want(workload, profile, snapshot) if profile or workload.devices == 1 else None


def _want(workload: Workload, profile: str, snapshot: Snapshot) -> Wanted:
    return Wanted(
        workload=workload.name,
        profile=profile,
        priority=snapshot.rules.priorities.get(workload.priority_class, 0),
        waiting_seconds=snapshot.now - workload.waiting_since,
        count=workload.replicas,
    )


def _profile(workload: Workload) -> str:
    return next(iter(sufficient_slices(workload)), "")


def _sheet(node: Node, device: Device, holders: Holders, snapshot: Snapshot) -> Sheet | None:
    """The device as `repartition` sees it; None when it cannot be cut or takes nothing new."""
    geometry = geometry_of(node.gpu_model, device.memory)
    if geometry is None or device.trouble or device.cordon:
        return None

    def idle(uuid: str) -> float:
        return snapshot.now - snapshot.idle_since.get(uuid, snapshot.now)

    parts = tuple(Part(one, "".join(holders.get(one.uuid, ())[:1]), idle(one.uuid)) for one in device.slices)
    return Sheet(device.uuid, geometry, device.mig, parts, holders.get(device.uuid, ()), idle_seconds=idle(device.uuid))


def _holders(workloads: Iterable[Workload]) -> Holders:
    found: dict[str, tuple[str, ...]] = {}
    for workload in workloads:
        pieces = workload.lease.pieces if workload.lease else workload.nominated
        for uuid in (uuid for piece in pieces for uuid in piece.devices):
            found[uuid] = (*found.get(uuid, ()), workload.name)
    return found


def _order(node: Node, recut: Recut) -> CutDevice:
    return CutDevice(
        kind="Node",
        name=node.name,
        reason=recut.reason,
        node_id=node.node_id,
        order=CutOrder(
            device=recut.device,
            mig=recut.mig,
            destroy=tuple(SliceReport(one.profile, one.start, one.uuid) for one in recut.destroy),
            create=tuple(SlicePlace(one.profile, one.start) for one in recut.create),
        ),
    )

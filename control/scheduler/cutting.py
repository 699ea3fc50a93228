"""Which devices to cut anew now: for declared layouts, and for those who wait for a slice or a device. Pure.

It translates: what the scheduler knows into the sheets of `repartition`, and its answer into orders for the nodes'
agents and holders that have to leave. An order for somebody who waits stands until it is seen done (`ordered`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from control.kernel.plan import CutDevice
from control.scheduler.layout import EVERY
from control.scheduler.ordered import Ordered
from control.scheduler.repartition import Recut, plan_layout
from control.scheduler.session import ITS_OWN_SAKE, evicted
from control.scheduler.sheets import Holders, closed, holders_of, order_of, sheet_of
from control.scheduler.state import Device, Node, Phase, Snapshot, Workload


@dataclass(frozen=True)
class Declared:
    """What declared layouts come to: the nodes, their devices closed where they are not yet as declared; the orders
    that can be carried out; and the workloads, those told to leave whose slices have no room."""

    nodes: tuple[Node, ...]
    orders: tuple[CutDevice, ...]
    workloads: tuple[Workload, ...]


def cut_as_declared(workloads: tuple[Workload, ...], snapshot: Snapshot) -> Declared:
    holders = holders_of(workloads)
    recuts = {
        recut.device: (node, recut)
        for node in snapshot.nodes
        if node.layout in snapshot.rules.layouts
        for recut in _towards_layout(node, holders, snapshot)
    }
    why = {name: recut.reason for _, recut in recuts.values() for name in recut.leave}
    return Declared(
        nodes=closed(snapshot.nodes, {uuid: recut.reason for uuid, (_, recut) in recuts.items()}),
        orders=tuple(
            CutDevice(kind="Node", name=node.name, reason=recut.reason, node_id=node.node_id, order=order_of(recut))
            for node, recut in recuts.values()
            if not recut.leave
        ),
        workloads=tuple(
            evicted(w, ITS_OWN_SAKE, why[w.name], snapshot.now) if w.name in why and w.phase is Phase.LEASED else w
            for w in workloads
        ),
    )


def standing(nodes: Iterable[Node], ordered: Iterable[Ordered], now: float) -> dict[str, Ordered]:
    """By device, the orders that may still be carried out and that the nodes do not show done."""
    devices = {device.uuid: device for node in nodes for device in node.devices}
    return {
        one.order.device: one
        for one in ordered
        if now < one.until and one.order.device in devices and not _is_done(one, devices[one.order.device])
    }


def effects_of(
    ordered: Mapping[str, Ordered], nodes: Iterable[Node], workloads: Iterable[Workload]
) -> tuple[CutDevice, ...]:
    """What the agents are told: the orders that nobody is in the way of any more, in every pass until they are done."""
    holders = holders_of(workloads)
    return tuple(
        CutDevice(kind="Node", name=node.name, reason=one.reason, node_id=node.node_id, order=one.order)
        for node in nodes
        for device in node.devices
        if (one := ordered.get(device.uuid)) is not None and not any(uuid in holders for uuid in _going(one))
    )


def _is_done(ordered: Ordered, device: Device) -> bool:
    order, there = ordered.order, {one.uuid for one in device.slices}
    made = {(one.profile, one.start) for one in device.slices}  # -1: some drivers tell only root where they start
    return (
        device.mig == order.mig
        and not any(one.uuid in there for one in order.destroy)
        and all((one.profile, one.start) in made or (one.profile, -1) in made for one in order.create)
    )


def _going(ordered: Ordered) -> tuple[str, ...]:
    """What nobody may hold when the order is carried out."""
    return (ordered.order.device, *(one.uuid for one in ordered.order.destroy))


def _towards_layout(node: Node, holders: Holders, snapshot: Snapshot) -> Iterator[Recut]:
    layout = snapshot.rules.layouts[node.layout]
    for index, device in enumerate(node.devices):
        counts = layout.get(index, layout.get(EVERY))
        sheet = sheet_of(node, device, holders, snapshot)
        if counts is not None and sheet is not None:
            recut = plan_layout(sheet, node.layout, counts)
            if isinstance(recut, Recut):
                yield recut

"""Who gets which devices. Pure and total: every workload ends leased, or pending with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from control.kernel.plan import Effect, EndGroup, EnsureAgent, EnsureGroup, Plan, PutSpec, PutStatus, Record, Remove
from control.scheduler.carving import carve
from control.scheduler.cutting import cut_as_declared, effects_of, standing
from control.scheduler.elastic import grow
from control.scheduler.hold import hold, is_what_it_asks_for
from control.scheduler.ordered import Ordered
from control.scheduler.session import Session
from control.scheduler.sheets import closed
from control.scheduler.state import WHOLE, Lease, Node, Phase, Snapshot, Workload, owner_of

DEFAULT_PRIORITIES: Mapping[str, int] = {"critical-inference": 100, "training": 50, "batch-scoring": 10}
"""The classes of the article's ClusterPolicy; a policy that is applied adds to them or changes them."""


def decide(snapshot: Snapshot) -> Plan:
    """Keep what is leased where it can stay; then answer those who wait, most urgent first."""
    now = snapshot.now
    nodes = {node.name: node for node in snapshot.nodes}
    held = [hold(w, nodes, now) if w.phase.holds_devices else w for w in snapshot.workloads]
    ordered = standing(snapshot.nodes, (one for node in snapshot.known_nodes for one in node.cuts), now)
    reasons = {device: one.reason for device, one in ordered.items()}
    declared = cut_as_declared(tuple(held), replace(snapshot, nodes=closed(snapshot.nodes, reasons)))
    held = list(declared.workloads)
    session = Session.of(declared.nodes, snapshot.rules, held, now)
    settled = {w.name: w for w in held} | session.holders
    waiting = [_without_stale_promise(w) for w in held if not w.phase.holds_devices and w.readable]
    settled |= {w.name: w for w in session.settle(waiting, now)}
    pending = [w for w in settled.values() if w.phase is Phase.PENDING]
    settled |= {w.name: w for w in grow(session, pending, now)}
    carved = carve(settled.values(), session, snapshot, ordered)
    settled |= {w.name: w for w in carved.leaving}
    ordered |= carved.orders
    before = {w.name: w for w in snapshot.workloads}
    changed = tuple(_status(w) for name, w in sorted(settled.items()) if w != before[name])
    cuts = declared.orders + effects_of(ordered, snapshot.nodes, settled.values())
    return Plan(_inventory(snapshot, ordered) + changed, _agents(snapshot) + _groups(settled.values(), snapshot) + cuts)


def _without_stale_promise(workload: Workload) -> Workload:
    """What others were stopped for may not be what it asks for any more."""
    if not workload.nominated or is_what_it_asks_for(workload, Lease(workload.nominated)):
        return workload
    return replace(workload, nominated=())


def _agents(snapshot: Snapshot) -> tuple[Effect, ...]:
    return tuple(
        EnsureAgent(
            kind="Node",
            name=wanted.name,
            reason="nobody has said yet what devices it has",
            node_id=wanted.node_id,
            driver=wanted.driver,
            args=wanted.args,
        )
        for wanted in snapshot.agents_wanted
    )


def _groups(workloads: Iterable[Workload], snapshot: Snapshot) -> tuple[Effect, ...]:
    """A placement group for each lease that nobody else enforces, and none for anything else.

    A group is named after its lease. One of a former lease of the same workload passes for no other: it goes first.
    """
    wanted = {w.group: w for w in workloads if w.group}
    ensure = tuple(
        EnsureGroup(
            kind="Workload", name=workload.name, reason=workload.reason, group=group, bundles=_bundles(workload.lease)
        )
        for group, workload in sorted(wanted.items())
        if group not in snapshot.groups and workload.phase is Phase.LEASED and workload.lease is not None
    )
    overdue = {group for group, w in wanted.items() if w.eviction is not None and snapshot.now >= w.eviction.deadline}
    end = tuple(
        EndGroup(kind="Workload", name=owner_of(group), reason="no lease asks for it", group=group)
        for group in sorted(snapshot.groups)
        if group not in wanted or group in overdue
    )
    return end + ensure


def _bundles(lease: Lease) -> tuple[tuple[str, Mapping[str, float]], ...]:
    """For each piece Ray's node id and the bundle: a gang's share of one node is one bundle."""
    bundles = []
    for piece in lease.pieces:
        bundle = {piece.resource: len(piece.devices) * piece.milli / WHOLE, "CPU": piece.cpu / 1000}
        bundle = {resource: amount for resource, amount in bundle.items() if amount}
        bundles.append((piece.node_id, bundle or {"CPU": 0.001}))
    return tuple(bundles)


def _status(workload: Workload) -> Record:
    return PutStatus(
        kind="Workload",
        name=workload.name,
        event=workload.phase.value,
        reason=workload.reason,
        revision=workload.revision,
        status={
            "phase": workload.phase.value,
            "reason": workload.reason,
            "lease": None if workload.lease is None else asdict(workload.lease),
            "group": workload.group,
            "eviction": None if workload.eviction is None else asdict(workload.eviction),
            "nominated": [asdict(piece) for piece in workload.nominated],
            "evictions": workload.evictions,
            "failed_binds": workload.failed_binds,
            "generation": workload.generation,
            "waiting_since": workload.waiting_since,
        },
    )


def _inventory(snapshot: Snapshot, ordered: Mapping[str, Ordered]) -> tuple[Record, ...]:
    """Write down which nodes there are, for `biplane get nodes` and for the capacity check of `apply`, and which cuts
    of them stand, for the next pass."""
    known = {node.name: node for node in snapshot.known_nodes}
    seen = {node.name: _with_cuts(node, ordered) for node in snapshot.nodes}
    joined = tuple(
        PutSpec(
            kind="Node",
            name=node.name,
            event="NodeJoined" if node.name not in known else "NodeChanged",
            reason=_described(node),
            spec=asdict(node),
        )
        for node in seen.values()
        if known.get(node.name) != node
    )
    left = tuple(
        Remove(kind="Node", name=name, event="NodeLeft", reason="Ray no longer reports it")
        for name in known
        if name not in seen
    )
    return joined + left


def _with_cuts(node: Node, ordered: Mapping[str, Ordered]) -> Node:
    cuts = tuple(ordered[device.uuid] for device in node.devices if device.uuid in ordered)
    return node if cuts == node.cuts else replace(node, cuts=cuts)


def _described(node: Node) -> str:
    """What joined, or what is not as it was, for `biplane events`."""
    said = f"{len(node.devices)} {'simulated ' if node.simulated else ''}{node.gpu_model}"
    notes = [
        f"{device.uuid}: {device.trouble or device.cordon}"
        for device in node.devices
        if device.trouble or device.cordon
    ]
    if node.cordon:
        notes.append(f"cordoned: {node.cordon}")
    notes += [f"{cut.order.device} is being cut: {cut.reason}" for cut in node.cuts]
    if sliced := sum(len(device.slices) for device in node.devices):
        notes.append(f"{sliced} MIG slices")
    return "; ".join((said, *notes))

"""Who gets which devices. Pure and total: every workload ends leased, or pending with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from control.kernel.plan import Plan, PutSpec, PutStatus, Record, Remove
from control.scheduler.fit import Room
from control.scheduler.state import TRANSITIONS, Happening, Lease, Node, Snapshot, Workload

DEFAULT_PRIORITIES: Mapping[str, int] = {"critical-inference": 100, "training": 50, "batch-scoring": 10}
"""The classes of the article's ClusterPolicy; a policy that is applied adds to them or changes them."""


def decide(snapshot: Snapshot) -> Plan:
    """Keep what is leased where its node lives; then, highest priority and oldest first, fit what is pending."""
    nodes = {node.name: node for node in snapshot.nodes}
    ordered = sorted(snapshot.workloads, key=lambda w: _order(w, snapshot.priorities))
    settled: list[Workload] = []
    pending = [w for w in ordered if not w.phase.holds_devices]
    for workload in (w for w in ordered if w.phase.holds_devices):
        held = _hold(workload, nodes, settled)
        (settled if held.phase.holds_devices else pending).append(held)
    for workload in sorted(pending, key=lambda w: _order(w, snapshot.priorities)):
        settled.append(_fit(workload, snapshot.nodes, settled, snapshot.priorities))
    before = {w.name: w for w in snapshot.workloads}
    changed = tuple(_status(w) for w in settled if w != before[w.name])
    return Plan(_inventory(snapshot) + changed)


def _order(workload: Workload, priorities: Mapping[str, int]) -> tuple[int, float, str]:
    return (-priorities.get(workload.priority_class, 0), workload.created_at, workload.name)


def _hold(workload: Workload, nodes: Mapping[str, Node], holders: list[Workload]) -> Workload:
    """The workload with its lease on the node as it is now: the node may have come back under another Ray id.

    A workload that asks for something else than it was given gives its lease up and is fitted anew.
    """
    lease = workload.lease
    node = nodes.get(lease.node) if lease else None
    if lease is None or node is None:
        return _lose(workload, Happening.NODE_LOST, f"{lease.node if lease else 'its node'} is gone")
    if (len(lease.devices), lease.memory) != (workload.devices, workload.memory):
        return _lose(workload, Happening.CHANGED, "it asks for something else than it was given")
    room = Room.of(node, holders)
    large = {device.uuid for device in room.devices if device.memory >= workload.device_memory}
    if lease.memory > room.memory or not set(lease.devices) <= large:
        return _lose(workload, Happening.NODE_LOST, f"{node.name} no longer has what it asks for where it was")
    return replace(
        workload,
        phase=TRANSITIONS[workload.phase, Happening.HOLDS],
        lease=replace(lease, node_id=node.node_id),
    )


def _lose(workload: Workload, happening: Happening, reason: str) -> Workload:
    return replace(workload, phase=TRANSITIONS[workload.phase, happening], lease=None, reason=reason)


def _fit(
    workload: Workload, nodes: tuple[Node, ...], holders: list[Workload], priorities: Mapping[str, int]
) -> Workload:
    """The workload leased on the fullest node that has room (ties by name), or pending with each node's reason."""
    if workload.priority_class not in priorities:
        known = ", ".join(sorted(priorities))
        return _pend(workload, f"there is no priority class {workload.priority_class!r}; there are: {known}")
    if not nodes:
        return _pend(workload, "no node has joined yet")
    rooms = [Room.of(node, (w for w in holders if w.lease is not None)) for node in nodes]
    refusals = {room.node.name: room.refusal(workload) for room in rooms}
    fitting = [room for room in rooms if not refusals[room.node.name]]
    if not fitting:
        return _pend(workload, "; ".join(refusals[name] for name in sorted(refusals)))
    room = min(fitting, key=lambda room: (len(room.devices), room.node.name))
    free = f"{len(room.devices)} of {len(room.node.devices)} {room.node.gpu_model} free"
    return replace(
        workload,
        phase=TRANSITIONS[workload.phase, Happening.FITS],
        lease=room.lease(workload),
        reason=f"{room.node.name} is the fullest node with room ({free} before)",
    )


def _pend(workload: Workload, reason: str) -> Workload:
    return replace(workload, phase=TRANSITIONS[workload.phase, Happening.DOES_NOT_FIT], reason=reason)


def _status(workload: Workload) -> Record:
    lease: Lease | None = workload.lease
    return PutStatus(
        kind="Workload",
        name=workload.name,
        event=workload.phase.value,
        reason=workload.reason,
        revision=workload.revision,
        status={
            "phase": workload.phase.value,
            "reason": workload.reason,
            "lease": None if lease is None else {**asdict(lease), "devices": list(lease.devices)},
        },
    )


def _inventory(snapshot: Snapshot) -> tuple[Record, ...]:
    """Write down which nodes there are, for `biplane get nodes` and for the capacity check of `apply`."""
    known = {node.name: node for node in snapshot.known_nodes}
    seen = {node.name: node for node in snapshot.nodes}
    joined = tuple(
        PutSpec(
            kind="Node",
            name=node.name,
            event="NodeJoined",
            reason=f"{len(node.devices)} {'simulated ' if node.simulated else ''}{node.gpu_model}",
            spec={**asdict(node), "devices": [asdict(device) for device in node.devices]},
        )
        for node in snapshot.nodes
        if known.get(node.name) != node
    )
    left = tuple(
        Remove(kind="Node", name=name, event="NodeLeft", reason="Ray no longer reports it")
        for name in known
        if name not in seen
    )
    return joined + left

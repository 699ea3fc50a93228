"""What becomes of a holder: it keeps its lease, has to stop, or has lost it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control.scheduler.ask import ask_of
from control.scheduler.session import ITS_OWN_SAKE, evicted
from control.scheduler.state import TRANSITIONS, Ask, Device, Happening, Lease, Node, Piece, Workload

BIND_SECONDS = 30.0
"""How long Ray may take to make the placement group of a lease."""


def hold(workload: Workload, nodes: Mapping[str, Node], now: float) -> Workload:
    """The holder as it stands now. It keeps its devices in every case but two: its node is gone, or it has stopped."""
    lease = workload.lease
    if lease is None:
        return requeued(workload, Happening.NODE_LOST, "it holds nothing", now)
    gone = [piece.node for piece in lease.pieces if piece.node not in nodes]
    if gone:
        return requeued(workload, Happening.NODE_LOST, f"{gone[0]} is gone", now)
    seen = workload
    if any(_moved(piece, nodes[piece.node]) for piece in lease.pieces):
        seen = replace(workload, lease=Lease(tuple(_seen(p, nodes[p.node]) for p in lease.pieces), lease.since))
    if workload.eviction is not None:
        if workload.running:
            return _held(seen)
        stopped = requeued(workload, Happening.STOPPED, f"stopped for {workload.eviction.by}", now)
        for_others = workload.eviction.by not in (ITS_OWN_SAKE, workload.name)
        return replace(stopped, evictions=workload.evictions + for_others)
    if trouble := trouble_of(seen, nodes):
        return evicted(seen, ITS_OWN_SAKE, trouble, now)
    if unbound := _does_not_bind(seen, now):
        return evicted(replace(seen, failed_binds=seen.failed_binds + 1), ITS_OWN_SAKE, unbound, now)
    return _held(seen)


def _held(workload: Workload) -> Workload:
    phase = TRANSITIONS[workload.phase, Happening.HOLDS]
    return workload if phase is workload.phase else replace(workload, phase=phase)


def requeued(workload: Workload, happening: Happening, reason: str, now: float) -> Workload:
    """The workload without its lease, waiting from now on."""
    phase = TRANSITIONS[workload.phase, happening]
    return replace(workload, phase=phase, lease=None, eviction=None, bound=False, reason=reason, waiting_since=now)


def trouble_of(workload: Workload, nodes: Mapping[str, Node]) -> str:
    """Why the holder cannot stay where it is; empty when it can."""
    if workload.lease is None:
        return ""
    if not _is_what_it_asks_for(workload, workload.lease):
        return "it asks for something else than it was given"
    for piece in workload.lease.pieces:
        node = nodes[piece.node]
        if node.drain:
            return f"{node.name} is drained: {node.cordon}"
        devices = {device.uuid: device for device in node.devices}
        slices = {one.uuid: device for device in node.devices if device.mig for one in device.slices}
        for uuid in piece.devices:
            device = devices.get(uuid) or slices.get(uuid)
            if device is None or (device.mig and uuid not in slices):
                return f"{node.name} no longer has {uuid}"
            if device.trouble:
                return f"{uuid} on {node.name}: {device.trouble}"
            if _is_too_small(device, piece):
                return f"{uuid} on {node.name} no longer has the memory that it asks for"
        if piece.memory > node.memory:
            return f"{node.name} no longer has the memory that it asks for"
    return ""


def _does_not_bind(workload: Workload, now: float) -> str:
    """A placement group that Ray leaves waiting: something outside Biplane holds what the lease counts on."""
    if workload.lease is None or workload.bound or not workload.running or now - workload.lease.since < BIND_SECONDS:
        return ""
    return f"Ray did not place its group on {', '.join(workload.lease.nodes)} within {BIND_SECONDS:.0f} s"


def _is_what_it_asks_for(workload: Workload, lease: Lease) -> bool:
    least, most = workload.least or workload.devices, workload.devices
    if not least <= lease.devices <= most:
        return False
    profiles = {piece.profile for piece in lease.pieces}
    if profiles != {""}:
        return profiles <= {workload.slice} if workload.slice else bool(workload.latency_ms)
    return not workload.slice and all(_is(piece, ask_of(workload, len(piece.devices))) for piece in lease.pieces)


def _is(piece: Piece, ask: Ask) -> bool:
    # Dividing twice (what the quota admits, then its parts) may have rounded up twice.
    return (
        (piece.milli, piece.device_memory) == (ask.milli, ask.device_memory)
        and 0 <= piece.cpu - ask.cpu <= 1
        and 0 <= piece.memory - ask.memory <= 1
    )


def _is_too_small(device: Device, piece: Piece) -> bool:
    return bool(device.memory) and piece.device_memory > device.memory


def _moved(piece: Piece, node: Node) -> bool:
    return (piece.node_id, piece.resource) != (node.node_id, node.resource)


def _seen(piece: Piece, node: Node) -> Piece:
    """The piece on its node as it is now: the node may have come back under another Ray id."""
    return replace(piece, node_id=node.node_id, resource=node.resource)

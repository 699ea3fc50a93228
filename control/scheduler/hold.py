"""What becomes of a holder: it keeps its lease, has to stop, or has lost it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control.scheduler.ask import ask_of
from control.scheduler.session import ITS_OWN_SAKE, evicted
from control.scheduler.slicing import host_ask, sufficient_slices
from control.scheduler.state import TRANSITIONS, Ask, Device, Happening, Kind, Lease, Node, Piece, Span, Workload

BIND_SECONDS = 30.0
"""How long Ray may take to make the placement group of a lease."""


def hold(workload: Workload, nodes: Mapping[str, Node], now: float) -> Workload:
    """The holder as it stands now. It keeps its devices in every case but two: its nodes are gone, or it has stopped.

    A gang that lost one of its nodes has to stop on the others first: its survivors still use their devices.
    """
    lease = workload.lease
    if lease is None:
        return requeued(workload, Happening.NODE_LOST, "it holds nothing", now)
    gone = [piece.node for piece in lease.pieces if piece.node not in nodes]
    if gone and (len(gone) == len(lease.pieces) or not workload.running):
        return requeued(workload, Happening.NODE_LOST, f"{gone[0]} is gone", now)
    seen = workload
    if any(_moved(piece, nodes) for piece in lease.pieces):
        # What ran there ended with the node's former life: it begins anew, and so does Ray's time to place it.
        seen = replace(workload, lease=Lease(tuple(_seen(piece, nodes) for piece in lease.pieces), now))
    if workload.eviction is not None:
        if workload.running:
            return _held(seen)
        by = workload.eviction.by
        for_others = by not in (ITS_OWN_SAKE, workload.name)
        stopped = requeued(workload, Happening.STOPPED, f"stopped for {by}" if for_others else "stopped", now)
        return replace(stopped, evictions=workload.evictions + for_others)
    if trouble := trouble_of(seen, nodes):
        return evicted(seen, ITS_OWN_SAKE, trouble, now)
    if unbound := _does_not_bind(seen, now):
        return evicted(replace(seen, failed_binds=seen.failed_binds + 1), ITS_OWN_SAKE, unbound, now)
    if seen.failed_binds and seen.running and seen.bound:
        seen = replace(seen, failed_binds=0)
    return _held(seen)


def _held(workload: Workload) -> Workload:
    phase = TRANSITIONS[workload.phase, Happening.HOLDS]
    return workload if phase is workload.phase else replace(workload, phase=phase)


def requeued(workload: Workload, happening: Happening, reason: str, now: float) -> Workload:
    """The workload without its lease, waiting from now on."""
    phase = TRANSITIONS[workload.phase, happening]
    return replace(workload, phase=phase, lease=None, eviction=None, reason=reason, waiting_since=now)


def trouble_of(workload: Workload, nodes: Mapping[str, Node]) -> str:
    """Why the holder cannot stay where it is; empty when it can."""
    if workload.lease is None:
        return ""
    if workload.readable and not is_what_it_asks_for(workload, workload.lease):
        return "it asks for something else than it was given"
    models = Ask(models=workload.models)
    for piece in workload.lease.pieces:
        node = nodes.get(piece.node)
        if node is None:
            return f"{piece.node} is gone"
        if node.drain:
            return f"{node.name} is drained: {node.cordon}"
        if not models.accepts(node.gpu_model):
            return f"it asks for {' or '.join(sorted(workload.models))}, {node.name} has {node.gpu_model}"
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
    if workload.lease is None or workload.bound:
        return ""
    if now - max(workload.lease.since, workload.unbound_since) < BIND_SECONDS:
        return ""
    return f"Ray did not place its group on {', '.join(workload.lease.nodes)} within {BIND_SECONDS:.0f} s"


def is_what_it_asks_for(workload: Workload, lease: Lease) -> bool:
    """Whether the lease, which may have been given before the workload was changed, still is an answer to it."""
    least, most = workload.least or workload.devices, workload.devices
    if not least <= lease.devices <= most:
        return False
    if workload.kind is Kind.INFERENCE and len(lease.pieces) != workload.replicas:
        return False
    if workload.span is Span.NODE and workload.replicas == 1 and len(lease.nodes) > 1:
        return False
    profiles = {piece.profile for piece in lease.pieces}
    if profiles != {""}:
        host = host_ask(workload)
        enough = profiles.issubset(sufficient_slices(workload))
        return enough and all((piece.cpu, piece.memory) == (host.cpu, host.memory) for piece in lease.pieces)
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


def _moved(piece: Piece, nodes: Mapping[str, Node]) -> bool:
    return _seen(piece, nodes) != piece


def _seen(piece: Piece, nodes: Mapping[str, Node]) -> Piece:
    """The piece on its node as it is now: the node may have come back under another Ray id, or be gone."""
    node = nodes.get(piece.node)
    if node is None or (piece.node_id, piece.resource) == (node.node_id, node.resource):
        return piece
    return replace(piece, node_id=node.node_id, resource=node.resource)

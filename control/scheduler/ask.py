"""What a workload asks of the nodes, and whether it could ever be had. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from control.scheduler.board import UNKNOWN, Board
from control.scheduler.mig import geometry_of, memory_slices, nearest_profile
from control.scheduler.state import WHOLE, Ask, Device, Kind, Node, SliceProfile, Span, Workload
from control.specs.cluster import MIG_LAYOUT, MIG_ON_DEMAND
from control.specs.workload import WorkloadSpec

Layouts = Mapping[str, Mapping[int, Mapping[str, int]]]
FEW = 4
"""So many nodes are named one by one; of more the reasons are counted."""


def ask_of(workload: Workload, devices: int) -> Ask:
    """What a piece with so many of the workload's devices needs of its node: CPU and memory in proportion, rounded up.

    A workload without devices is divided by its replicas.
    """
    part, of = (devices, workload.devices) if workload.devices else (1, workload.replicas)
    return Ask(
        devices=devices,
        milli=workload.milli,
        device_memory=workload.device_memory,
        cpu=-(-workload.cpu * part // of),
        memory=-(-workload.memory * part // of),
        models=workload.models,
    )


def wanted(name: str, spec: WorkloadSpec) -> Workload:
    """The workload that a specification asks for, holding nothing yet."""
    return Workload(
        name=name,
        revision=0,
        kind=Kind(spec.type),
        devices=spec.devices,
        memory=spec.memory,
        device_memory=spec.device_memory,
        priority_class=spec.priority,
        created_at=0.0,
        least=spec.least or 0,
        replicas=spec.replicas,
        cpu=round(spec.cpus * 1000),
        milli=_milli(spec),
        models=frozenset(spec.gpu_models),
        span=Span(spec.reach),
        slice=spec.slice or "",
        latency_ms=spec.latency_ms or 0.0,
        requests_per_second=spec.requests_per_second or 0.0,
        profiles=tuple(
            SliceProfile(one.slice, one.latency_ms, one.requests_per_second, one.memory) for one in spec.profiles
        ),
        queue=spec.queue or "",
        duration=spec.duration or 0.0,
        preemptible=spec.preemptible,
        checkpoints=spec.saves,
        grace=spec.grace,
    )


def _milli(spec: WorkloadSpec) -> int:
    """How much of a device each of its devices is; a slice counts with its part of the memory slices of a large GPU."""
    if spec.slice:
        return WHOLE * memory_slices(spec.slice) // 8
    return WHOLE if spec.share is None else int(spec.share * WHOLE + 1e-6)


def refusals_when_empty(workload: Workload, nodes: Iterable[Node], layouts: Layouts | None = None) -> tuple[str, ...]:
    """Why the workload could not be had although it had all the nodes for itself; empty when it could, or no node is.

    What is in trouble or cordoned counts: it comes back. `layouts` are the declared MIG layouts by name.
    """
    board = Board.of(_at_its_best(node) for node in nodes)
    if not board.nodes:
        return ()
    if workload.slice:
        return _told({node.name: _no_slice(workload.slice, node, layouts) for node in board.nodes})
    if workload.devices and workload.span is not Span.NODE:
        return _no_gang(workload, board)
    part = ask_of(workload, (workload.least or workload.devices) // workload.replicas)
    reasons = {node.name: board.refusal(index, part) for index, node in enumerate(board.nodes)}
    places = sum(_places(node, part) for node in board.nodes if not reasons[node.name])
    if 0 < places < workload.replicas:
        return (f"the cluster has room for {places} such replicas, {workload.replicas} are asked for",)
    return _told(reasons)


def _no_gang(workload: Workload, board: Board) -> tuple[str, ...]:
    """Counts the devices that each rack, or the cluster, could give to one gang."""
    least = workload.least or workload.devices
    given: Counter[str] = Counter()
    for index, node in enumerate(board.nodes):
        together = "the cluster" if workload.span is Span.CLUSTER else f"rack {node.rack}" if node.rack else node.name
        given[together] += next(
            (
                count
                for count in range(min(least, len(node.devices)), 0, -1)
                if not board.refusal(index, ask_of(workload, count))
            ),
            0,
        )
    if max(given.values()) >= least:
        return ()
    if not any(given.values()):
        one = ask_of(workload, min(1, least))
        return _told({node.name: board.refusal(index, one) for index, node in enumerate(board.nodes)})
    return tuple(f"{name} has {count} devices for it, {least} are asked for" for name, count in sorted(given.items()))


def _no_slice(profile: str, node: Node, layouts: Layouts | None) -> str:
    """Why the node never has a slice of this profile; empty when it may have one."""
    geometries = [geometry_of(node.gpu_model, device.memory) for device in node.devices]
    known = {name for geometry in geometries if geometry is not None for name in geometry.profiles}
    if profile not in known:
        near = nearest_profile(profile, known)
        return f"{node.name} has {node.gpu_model}, which has no {profile}" + (f"; it has {near}" if near else "")
    if any(one.profile == profile for device in node.devices for one in device.slices) or node.carve:
        return ""
    if not node.layout:
        return f"{node.name} is not cut into slices: it has no label {MIG_LAYOUT} or {MIG_ON_DEMAND}"
    layout = None if layouts is None else layouts.get(node.layout, {})
    if layout is not None and not any(profile in counts for counts in layout.values()):
        return f"{node.name} has the layout {node.layout}, in which there is no {profile}"
    return ""


def _places(node: Node, part: Ask) -> int:
    """How many such pieces an empty node takes."""
    limits = []
    if part.devices:
        limits.append(sum(_on(device, part) for device in node.devices) // part.devices)
    if part.memory:
        limits.append(node.memory // part.memory)
    if part.cpu and node.cpu:
        limits.append(node.cpu // part.cpu)
    return min(limits, default=UNKNOWN)


def _on(device: Device, part: Ask) -> int:
    by_memory = (device.memory or UNKNOWN) // (part.device_memory or 1)
    return 0 if device.mig else min(WHOLE // part.milli, by_memory)


def _at_its_best(node: Node) -> Node:
    devices = tuple(replace(d, trouble="", cordon="", mig=d.mig and not node.carve) for d in node.devices)
    return replace(node, cordon="", foreign=0, devices=devices)


def _told(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Each node's reason, or how many nodes have it; nothing when a node has none."""
    if not all(reasons.values()):
        return ()
    if len(reasons) <= FEW:
        return tuple(reasons.values())
    kinds = Counter(reason.partition(" ")[2] for reason in reasons.values())
    return tuple(f"{count} nodes: {kind}" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0])))

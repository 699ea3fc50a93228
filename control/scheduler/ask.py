"""What a workload asks of the nodes, and whether it could ever be had. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from control.scheduler.board import UNKNOWN, Board
from control.scheduler.layout import EVERY
from control.scheduler.mig import geometry_of, least_share, nearest_profile
from control.scheduler.slicing import bytes_on, host_ask, sufficient_slices, too_small
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
    """How much of a device each of its devices is; a slice counts with its part of the memory slices."""
    if spec.slice:
        return least_share(spec.slice)
    return WHOLE if spec.share is None else int(spec.share * WHOLE + 1e-6)


def refusals_when_empty(workload: Workload, nodes: Iterable[Node], layouts: Layouts | None = None) -> tuple[str, ...]:
    """Why the workload could not be had although it had all the nodes for itself; empty when it could, or no node is.

    What is in trouble or cordoned counts: it comes back. `layouts` are the declared MIG layouts by name.
    """
    board = Board.of(_at_its_best(node) for node in nodes)
    if not board.nodes:
        return ()
    on_slices = [_no_slices(workload, profile, board, layouts) for profile in sufficient_slices(workload)]
    if not all(on_slices):
        return ()
    if workload.slice:
        return on_slices[0]
    if workload.devices and workload.span is not Span.NODE:
        return _no_gang(workload, board)
    part = ask_of(workload, (workload.least or workload.devices) // workload.replicas)
    reasons = {node.name: board.refusal(index, part) for index, node in enumerate(board.nodes)}
    return _none(workload, reasons, {node.name: _places(node, part) for node in board.nodes})


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
        return counted({node.name: board.refusal(index, one) for index, node in enumerate(board.nodes)})
    return tuple(f"{name} has {count} devices for it, {least} are asked for" for name, count in sorted(given.items()))


def _no_slices(workload: Workload, profile: str, board: Board, layouts: Layouts | None) -> tuple[str, ...]:
    """Why the cluster never has as many slices of the profile as there are replicas; empty when it may have them."""
    ask = host_ask(workload)
    reasons, places = {}, {}
    for index, node in enumerate(board.nodes):
        reasons[node.name] = board.refusal(index, ask) or _no_slice(workload, profile, node, layouts)
        slices = sum(_instances(node, number, profile, layouts) for number in range(len(node.devices)))
        places[node.name] = min(slices, _places(node, ask))
    return _none(workload, reasons, places)


def _no_slice(workload: Workload, profile: str, node: Node, layouts: Layouts | None) -> str:
    """Why the node never has a slice of this profile for the workload; empty when it may have one."""
    geometries = {geometry_of(node.gpu_model, device.memory) for device in node.devices}
    known = {name: p.memory for geometry in geometries if geometry for name, p in geometry.profiles.items()}
    if profile not in known:
        near = nearest_profile(profile, known)
        return f"{node.name} has {node.gpu_model}, which has no {profile}" + (f"; it has {near}" if near else "")
    least = bytes_on(workload, profile)
    if known[profile] < least:
        large = [name for name, memory in known.items() if memory >= least]
        near = f"; {min(large, key=lambda name: known[name])} has enough" if large else ""
        return too_small(profile, node.name, known[profile], least) + near
    if any(_instances(node, number, profile, layouts) for number in range(len(node.devices))):
        return ""
    if node.layout:
        return f"{node.name} has the layout {node.layout}, in which there is no {profile}"
    return f"{node.name} is not cut into slices: it has no label {MIG_LAYOUT} or {MIG_ON_DEMAND}"


def _instances(node: Node, number: int, profile: str, layouts: Layouts | None) -> int:
    """The most instances of the profile that a device of the node may have at a time."""
    device = node.devices[number]
    if node.layout in (layouts or ()):
        layout = (layouts or {})[node.layout]
        return layout.get(number, layout.get(EVERY, {})).get(profile, 0)
    geometry = geometry_of(node.gpu_model, device.memory)
    if geometry is not None and profile in geometry.profiles and (node.carve or (node.layout and layouts is None)):
        return geometry.profiles[profile].most
    return sum(one.profile == profile for one in device.slices)


def _none(workload: Workload, reasons: Mapping[str, str], places: Mapping[str, int]) -> tuple[str, ...]:
    """What the nodes' reasons come to, where `places` says how many replicas each would take that has none."""
    if all(reasons.values()):
        return counted(reasons)
    found = sum(count for node, count in places.items() if not reasons[node])
    if found >= workload.replicas:
        return ()
    return (f"the cluster has room for {found} such replicas, {workload.replicas} are asked for",)


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


def counted(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Each node's reason; of many nodes how many have it, the most frequent first."""
    if len(reasons) <= FEW:
        return tuple(reasons.values())
    kinds = Counter(reason.partition(" ")[2] for reason in reasons.values())
    return tuple(f"{count} nodes: {kind}" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0])))

"""Which MIG instances would do for a workload, and giving out those that exist. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control.scheduler.answer import Mask, Placed
from control.scheduler.board import GIB
from control.scheduler.mig import least_share, most_memory
from control.scheduler.state import Ask, Node, Piece, Workload
from control.scheduler.stock import Instance, Stock


def sufficient_slices(workload: Workload) -> tuple[str, ...]:
    """The MIG profiles that would do, the smallest first: the one it names, else those that keep its latency."""
    if workload.slice:
        return (workload.slice,)
    if not workload.latency_ms or workload.devices > workload.replicas:
        return ()
    keep = [
        p.slice
        for p in workload.profiles
        if p.latency_ms <= workload.latency_ms
        and p.requests_per_second * workload.replicas >= workload.requests_per_second
        and ((most := most_memory(p.slice)) is None or bytes_on(workload, p.slice) <= most)
    ]
    return tuple(sorted(keep, key=lambda profile: (least_share(profile), profile)))


def bytes_on(workload: Workload, profile: str) -> int:
    """How much memory of a slice of the profile the workload takes: what it asks of a device, or declares for this."""
    declared = (one.memory for one in workload.profiles if one.slice == profile)
    return max(workload.device_memory, *declared, 0)


def least_milli(workload: Workload) -> int:
    """The least that it could be given, in thousandths of a device: what its quota has to have left."""
    if slices := sufficient_slices(workload):
        return workload.replicas * min(map(least_share, slices))
    return (workload.least or workload.devices) * workload.milli


def host_ask(workload: Workload) -> Ask:
    """What a replica on a slice needs of its node beside the slice."""
    cpu, memory = -(-workload.cpu // workload.replicas), -(-workload.memory // workload.replicas)
    return Ask(cpu=cpu, memory=memory, models=workload.models)


def on_slices(workload: Workload, profile: str, stock: Stock, among: Mask | None = None) -> Placed | None:
    """An instance of the profile for each replica, those on the fullest devices first; None when there are too few."""
    ask, least = host_ask(workload), bytes_on(workload, profile)
    open_to = stock.board.fitting(ask) if among is None else stock.board.fitting(ask) & among
    trial = stock.copy() if workload.replicas > 1 else stock
    pieces: list[Piece] = []
    for instance in stock.free_instances(profile):
        index = stock.board.index(instance.node)
        if index is None or not open_to[index] or instance.memory < least:
            continue
        node = stock.board.nodes[index]
        piece = Piece(
            node=node.name,
            node_id=node.node_id,
            resource=node.resource,
            devices=(instance.slice.uuid,),
            memory=ask.memory,
            cpu=ask.cpu,
            milli=instance.milli,
            profile=profile,
        )
        if not trial.holds((piece,)):
            continue
        pieces.append(piece)
        if len(pieces) == workload.replicas:
            where = ", ".join(dict.fromkeys(piece.node for piece in pieces))
            reason = f"a {profile} slice is enough: {len(pieces)} on {where}, on the fullest device"
            return Placed(tuple(pieces), reason)
        trial.take((piece,))
    return None


def slice_refusals(workload: Workload, profile: str, stock: Stock) -> Mapping[str, str]:
    """For each node the first rule that keeps one replica from a slice of the profile there (empty: it gets one)."""
    there: dict[str, list[Instance]] = {}
    for instance in stock.instances.values():
        if instance.slice.profile == profile:
            there.setdefault(instance.node, []).append(instance)
    ask = host_ask(workload)
    return {
        node.name: stock.board.refusal(index, ask)
        or _no_instance(workload, profile, node, there.get(node.name, ()), stock)
        for index, node in enumerate(stock.board.nodes)
    }


def _no_instance(workload: Workload, profile: str, node: Node, there: Sequence[Instance], stock: Stock) -> str:
    if not there:
        may_be = ", and is cut on demand" if node.carve and not node.layout else ""
        return f"{node.name} has no {profile} slice{may_be}"
    least, most = bytes_on(workload, profile), max(one.memory for one in there)
    if most < least:
        return too_small(profile, node.name, most, least)
    if all(one.cordoned or one.slice.uuid in stock.held for one in there):
        return f"{node.name} has 0 of its {len(there)} {profile} slices free"
    return ""


def too_small(profile: str, node: str, memory: int, least: int) -> str:
    has, asked = (f"{round(size / GIB, 1):g} GiB" for size in (memory, least))
    return f"{node} has {profile} slices with {has} each, {asked} are asked for"

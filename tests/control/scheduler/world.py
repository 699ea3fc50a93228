"""Nodes and workloads to decide about, and the world's part: writing a plan back into the snapshot, acting on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from control.kernel.plan import EndGroup, EnsureGroup, Plan, PutSpec, PutStatus, Remove
from control.scheduler.decide import DEFAULT_PRIORITIES, decide
from control.scheduler.state import (
    Device,
    Eviction,
    Kind,
    Lease,
    Node,
    Phase,
    Piece,
    Queue,
    Rules,
    Sharing,
    Slice,
    Snapshot,
    Workload,
    owner_of,
)

_nodes = TypeAdapter(Node)
GIB = 1 << 30
UNSHARED = Sharing()
KIND_OF = {"training": Kind.TRAINING, "critical-inference": Kind.INFERENCE, "batch-scoring": Kind.BATCH}


def node(
    name: str = "n0",
    devices: int = 4,
    memory: int = 64,
    node_id: str = "",
    each: int = 80,
    **more: Any,
) -> Node:
    """`memory` and `each` in GiB."""
    found = tuple(Device(f"SIM-{name}-{index}", each * GIB) for index in range(devices))
    return Node(name, node_id or f"id-{name}", "sim-gpu", "H100", "nvlink", found, memory * GIB, simulated=True, **more)


def sliced(name: str, *profiles: str) -> Node:
    """A node with one H100-80GB that is cut into these slices, one after the other."""
    starts = [sum(int(p.split(".")[1][:-2]) // 10 for p in profiles[:index]) for index in range(len(profiles))]
    slices = tuple(Slice(p, start, f"MIG-{name}-{start}") for p, start in zip(profiles, starts, strict=True))
    device = Device(f"SIM-{name}-0", 80 * GIB, mig=True, slices=slices)
    return replace(node(name, 0), gpu_model="H100-80GB", devices=(device,))


def workload(
    name: str = "w",
    devices: int = 1,
    memory: int = 0,
    each: int = 0,
    priority: str = "training",
    created_at: float = 0.0,
    **more: Any,
) -> Workload:
    """`memory` and `each` in GiB. The kind is that of the priority class."""
    kind = more.pop("kind", KIND_OF.get(priority, Kind.TRAINING))
    return Workload(
        name,
        1,
        kind,
        devices,
        memory * GIB,
        each * GIB,
        priority,
        created_at,
        waiting_since=more.pop("waiting_since", created_at),
        **more,
    )


def snapshot(
    nodes: Iterable[Node],
    workloads: Iterable[Workload],
    priorities: Mapping[str, int] = DEFAULT_PRIORITIES,
    *,
    preemption: bool = False,
    queues: tuple[Queue, ...] = (),
    sharing: Sharing = UNSHARED,
    now: float = 0.0,
    **rules: Any,
) -> Snapshot:
    nodes = tuple(nodes)
    found = Rules(priorities, preemption=preemption, queues=queues, sharing=sharing, **rules)
    return Snapshot(nodes, nodes, tuple(workloads), found, now=now)


def after(before: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot that the next pass sees when the plan was carried out and nothing else happened.

    What was told to stop stops at once: its owner obeys.
    """
    statuses: dict[str, Mapping[str, Any]] = {}
    known = {known.name: known for known in before.known_nodes}
    for record in plan.records:
        match record:
            case PutStatus():
                statuses[record.name] = record.status
            case PutSpec(kind="Node"):
                known[record.name] = _nodes.validate_python(record.spec)
            case Remove(kind="Node"):
                del known[record.name]
            case _:
                raise AssertionError(f"not the scheduler's: {record}")
    groups = dict(before.groups)
    for effect in plan.effects:
        match effect:
            case EnsureGroup():
                groups[effect.group] = True
            case EndGroup():
                groups.pop(effect.group, None)
            case _:
                pass
    workloads = tuple(_with(w, statuses[w.name]) if w.name in statuses else w for w in before.workloads)
    groups = {name: ready for name, ready in groups.items() if name not in {w.group for w in workloads if w.eviction}}
    running = set(map(owner_of, groups))
    workloads = tuple(
        replace(w, running=w.name in running, bound=not w.group or groups.get(w.group, False)) for w in workloads
    )
    return replace(before, workloads=workloads, known_nodes=tuple(known.values()), groups=groups)


def settled(before: Snapshot, passes: int = 12) -> Snapshot:
    """Decide until nothing is left to do."""
    for _ in range(passes):
        plan = decide(before)
        if not plan:
            return before
        before = after(before, plan)
    raise AssertionError(f"it goes on deciding: {decide(before)}")


def by_name(found: Snapshot) -> dict[str, Workload]:
    return {w.name: w for w in found.workloads}


def leased(*workloads: Workload, nodes: Iterable[Node], **rules: Any) -> tuple[Workload, ...]:
    """The workloads with the leases that they get on otherwise empty nodes."""
    return settled(snapshot(nodes, workloads, **rules)).workloads


def places(found: Snapshot) -> dict[str, str]:
    """Workload → the nodes of its lease, for those that have one."""
    return {w.name: "+".join(w.lease.nodes) for w in found.workloads if w.lease}


def uuids(found: Workload) -> tuple[str, ...]:
    return tuple(uuid for piece in (found.lease.pieces if found.lease else ()) for uuid in piece.devices)


def _with(workload: Workload, status: Mapping[str, Any]) -> Workload:
    body, eviction = status["lease"], status["eviction"]
    lease = None
    if body is not None:
        lease = Lease(_pieces(body["pieces"]), body["since"])
    return replace(
        workload,
        revision=workload.revision + 1,
        phase=Phase(status["phase"]),
        reason=status["reason"],
        lease=lease,
        eviction=None if eviction is None else Eviction(**eviction),
        nominated=_pieces(status["nominated"]),
        evictions=status["evictions"],
        failed_binds=status["failed_binds"],
        waiting_since=status["waiting_since"],
    )


def _pieces(stored: Iterable[Mapping[str, Any]]) -> tuple[Piece, ...]:
    return tuple(Piece(**{**piece, "devices": tuple(piece["devices"])}) for piece in stored)

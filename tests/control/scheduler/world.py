"""Nodes and workloads to decide about, and the store's part: writing a plan back into the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from control.kernel.plan import Plan, PutSpec, PutStatus, Remove
from control.scheduler.decide import DEFAULT_PRIORITIES, decide
from control.scheduler.state import Device, Lease, Node, Phase, Snapshot, Workload

GIB = 1 << 30


def node(name: str = "n0", devices: int = 4, memory: int = 64, node_id: str = "", each: int = 80) -> Node:
    """`memory` and `each` in GiB."""
    found = tuple(Device(f"SIM-{name}-{index}", each * GIB) for index in range(devices))
    return Node(name, node_id or f"id-{name}", "sim-gpu", "H100", "nvlink", found, memory * GIB, simulated=True)


def workload(
    name: str = "w",
    devices: int = 1,
    memory: int = 0,
    each: int = 0,
    priority: str = "training",
    created_at: float = 0.0,
) -> Workload:
    """`memory` and `each` in GiB."""
    return Workload(name, 1, "training", devices, memory * GIB, each * GIB, priority, created_at)


def snapshot(
    nodes: Iterable[Node], workloads: Iterable[Workload], priorities: Mapping[str, int] = DEFAULT_PRIORITIES
) -> Snapshot:
    nodes = tuple(nodes)
    return Snapshot(nodes, nodes, tuple(workloads), priorities)


def after(before: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot that the next pass sees when the plan was committed and nothing else happened."""
    statuses: dict[str, Mapping[str, Any]] = {}
    known = {known.name: known for known in before.known_nodes}
    live = {node.name: node for node in before.nodes}
    for record in plan.records:
        match record:
            case PutStatus():
                statuses[record.name] = record.status
            case PutSpec(kind="Node"):
                known[record.name] = live[record.name]
            case Remove(kind="Node"):
                del known[record.name]
            case _:
                raise AssertionError(f"not the scheduler's: {record}")
    workloads = tuple(_with(w, statuses[w.name]) if w.name in statuses else w for w in before.workloads)
    return replace(before, workloads=workloads, known_nodes=tuple(known.values()))


def settled(before: Snapshot, passes: int = 3) -> Snapshot:
    """Decide until nothing is left to do."""
    for _ in range(passes):
        plan = decide(before)
        if not plan:
            return before
        before = after(before, plan)
    assert not decide(before), "it goes on deciding"
    return before


def by_name(found: Snapshot) -> dict[str, Workload]:
    return {w.name: w for w in found.workloads}


def leased(*workloads: Workload, nodes: Iterable[Node]) -> tuple[Workload, ...]:
    """The workloads with the leases that they get on otherwise empty nodes."""
    return settled(snapshot(nodes, workloads)).workloads


def _with(workload: Workload, status: Mapping[str, Any]) -> Workload:
    body = status["lease"]
    lease = None if body is None else Lease(**{**body, "devices": tuple(body["devices"])})
    return replace(
        workload,
        revision=workload.revision + 1,
        phase=Phase(status["phase"]),
        reason=status["reason"],
        lease=lease,
    )

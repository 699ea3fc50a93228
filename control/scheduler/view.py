"""What the scheduler observes: Ray's live nodes as declared or as Ray counts them, and the stored workloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from control.kernel.present import Drive, NodeView
from control.kernel.store import Object, Store
from control.scheduler.decide import DEFAULT_PRIORITIES
from control.scheduler.state import Device, Lease, Node, Phase, Snapshot, Workload
from control.specs.cluster import Cluster
from control.specs.cluster import Node as DeclaredNode
from control.specs.gpu_policy import ClusterPolicy
from control.specs.workload import Workload as WorkloadDocument

NODE_LABEL = "biplane.io/node"
"""The Ray node label that carries the declared name of a simulated node."""
SIMULATED_RESOURCE = "sim-gpu"
REAL_RESOURCE = "GPU"

_lease = TypeAdapter(Lease)
_node = TypeAdapter(Node)


def observe(store: Store, drive: Drive) -> Snapshot:
    stored = store.list("Cluster", "ClusterPolicy", "Node", "Workload")
    declared = [node for o in stored if o.kind == "Cluster" for node in Cluster.model_validate(o.spec).spec.nodes]
    return Snapshot(
        nodes=live_nodes(declared, drive.nodes()),
        known_nodes=known_nodes(stored),
        workloads=tuple(workload_of(o) for o in stored if o.kind == "Workload"),
        priorities=priorities_of(stored),
    )


def live_nodes(declared: Iterable[DeclaredNode], seen: Iterable[NodeView]) -> tuple[Node, ...]:
    """Declared nodes that Ray reports under their label; any other node with the whole GPUs that Ray counts."""
    by_name = {node.name: node for node in declared}
    nodes = []
    for view in seen:
        declaration = by_name.get(view.labels.get(NODE_LABEL, ""))
        nodes.append(_counted(view) if declaration is None else _declared(declaration, view))
    return tuple(sorted(nodes, key=lambda node: node.name))


def known_nodes(stored: Iterable[Object]) -> tuple[Node, ...]:
    return tuple(_node.validate_python(dict(o.spec)) for o in stored if o.kind == "Node")


def priorities_of(stored: Iterable[Object]) -> Mapping[str, int]:
    found = dict(DEFAULT_PRIORITIES)
    for policy in (ClusterPolicy.model_validate(o.spec) for o in stored if o.kind == "ClusterPolicy"):
        if policy.spec.scheduling is not None:
            found |= {p.name: p.priority for p in policy.spec.scheduling.preemption.priorities}
    return found


def workload_of(stored: Object) -> Workload:
    return workload_from(
        stored.name, stored.spec, status=stored.status, revision=stored.revision, created_at=stored.created_at
    )


def workload_from(
    name: str,
    document: Mapping[str, Any],
    *,
    status: Mapping[str, Any],
    revision: int = 0,
    created_at: float = 0.0,
) -> Workload:
    """The workload that a document asks for, with what `status` says of it."""
    spec = WorkloadDocument.model_validate(document).spec
    lease = status.get("lease")
    return Workload(
        name=name,
        revision=revision,
        kind=spec.type,
        devices=spec.devices,
        memory=spec.memory,
        device_memory=spec.device_memory,
        priority_class=spec.priority,
        created_at=created_at,
        phase=Phase(status.get("phase", Phase.PENDING.value)),
        lease=None if lease is None else _lease.validate_python(lease),
        reason=status.get("reason", ""),
    )


def _declared(node: DeclaredNode, view: NodeView) -> Node:
    devices = tuple(Device(f"SIM-{node.name}-{index}", node.gpu_memory) for index in range(node.gpus))
    return Node(
        name=node.name,
        node_id=view.node_id,
        resource=SIMULATED_RESOURCE,
        gpu_model=node.gpu_model,
        interconnect=node.interconnect,
        devices=devices,
        memory=node.memory,
        simulated=True,
    )


def _counted(view: NodeView) -> Node:
    """A node without a declaration: whole GPUs by Ray's count, indexed as CUDA does."""
    count = int(view.resources.get(REAL_RESOURCE, 0))
    return Node(
        name=view.labels.get("ray.io/node-id", view.node_id)[:12],
        node_id=view.node_id,
        resource=REAL_RESOURCE,
        gpu_model=view.labels.get("ray.io/accelerator-type", "GPU"),
        interconnect="unknown",
        devices=tuple(Device(str(index), 0) for index in range(count)),
        memory=int(view.resources.get("memory", 0)),
        simulated=False,
    )

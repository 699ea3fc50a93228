"""What replicas on GPUs ask of the scheduler. Pure."""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.workload import WorkloadSpec
from control.vectors.memory import FIRST_ROWS, PROCESS_BYTES, index_bytes, needed


def workload_of(spec: CollectionSpec, replicas: int = 1) -> WorkloadSpec:
    """Of so many replicas together: a device for each, which holds what the host holds too, and more of a graph."""
    memory = needed(spec, 0)
    device = max(memory, PROCESS_BYTES + index_bytes(spec, FIRST_ROWS // spec.shards).device)
    return WorkloadSpec(
        type="inference", devices=replicas, replicas=replicas, device_memory=device, memory=replicas * memory
    )

"""What replicas on GPUs ask of the scheduler. Pure."""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.workload import WorkloadSpec
from control.vectors.memory import needed


def workload_of(spec: CollectionSpec, replicas: int = 1) -> WorkloadSpec:
    """Of so many replicas together: a device for each, which holds what the host holds too."""
    memory = needed(spec, 0)
    return WorkloadSpec(
        type="inference", devices=replicas, replicas=replicas, device_memory=memory, memory=replicas * memory
    )

"""What replicas on GPUs ask of the scheduler. Pure."""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.workload import WorkloadSpec
from control.vectors.memory import FIRST_ROWS, device_bytes_for, needed


def workload_of(spec: CollectionSpec, replicas: int = 1) -> WorkloadSpec:
    """Of so many replicas together: a device for each."""
    return WorkloadSpec(
        type="inference",
        devices=replicas,
        replicas=replicas,
        device_memory=device_bytes_for(spec, FIRST_ROWS // spec.shards),
        memory=replicas * needed(spec, 0),
    )

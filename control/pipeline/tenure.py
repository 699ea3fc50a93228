"""What has become of the lease that a task's present attempt was started on. Pure."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum

from control.kernel.ids import digest
from control.kernel.placement import Placement
from control.pipeline.dag import Task
from control.pipeline.state import TaskStatus


class Tenure(Enum):
    KEPT = "its devices are its own"
    RECALLED = "its devices are wanted back by a deadline"
    ENDED = "its devices are gone, or somebody else's"


def tenure_of(task: Task, status: TaskStatus, placement: Placement | None) -> Tenure:
    """A task that needs no devices keeps what it has: nothing.

    Another lease than the attempt was started on is not its own, even when it is given to the same task: the step
    does not know of it, and others may have got what it runs on.
    """
    if not task.needs_lease:
        return Tenure.KEPT
    if placement is None or lease_id(placement) != status.lease:
        return Tenure.ENDED
    return Tenure.RECALLED if placement.evicted else Tenure.KEPT


def lease_id(placement: Placement) -> str:
    """The same for the same devices on the same nodes, and for nothing else."""
    return digest([asdict(piece) for piece in placement.pieces])

"""Which policy places which kind of workload: training and inference never share one."""

from __future__ import annotations

from collections.abc import Mapping

from control.scheduler import batch, inference, training
from control.scheduler.answer import Policy
from control.scheduler.state import Kind

POLICIES: Mapping[Kind, Policy] = {
    Kind.TRAINING: training.place,
    Kind.INFERENCE: inference.place,
    Kind.BATCH: batch.place,
}

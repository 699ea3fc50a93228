"""Philly-derived traces: tab-separated jobs with a number of steps, as the schedulers after Gavel read them.

The columns: job type, command, name of its steps argument, whether it needs data, total steps, arrival in seconds,
scale factor (devices). The arrivals and gang sizes derive from Microsoft's Philly cluster (Jeon et al., ATC 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from control.scheduler.state import Kind, Span, Workload
from control.scheduler.trace import Job, Trace
from control.specs.base import Spec
from control.specs.problem import nearest, one_of, refuse, show
from scripts.rows import checked

STEPS_PER_SECOND: Mapping[str, float] = {
    "A3C": 6.0,
    "CycleGAN": 3.4,
    "LM (batch size 5)": 120.0,
    "LM (batch size 10)": 96.0,
    "LM (batch size 20)": 73.0,
    "LM (batch size 40)": 48.0,
    "LM (batch size 80)": 31.0,
    "Recommendation (batch size 512)": 0.23,
    "Recommendation (batch size 1024)": 0.33,
    "Recommendation (batch size 2048)": 0.38,
    "Recommendation (batch size 4096)": 0.42,
    "Recommendation (batch size 8192)": 0.58,
    "ResNet-18 (batch size 16)": 54.0,
    "ResNet-18 (batch size 32)": 44.0,
    "ResNet-18 (batch size 64)": 33.0,
    "ResNet-18 (batch size 128)": 20.0,
    "ResNet-18 (batch size 256)": 11.0,
    "ResNet-50 (batch size 16)": 12.0,
    "ResNet-50 (batch size 32)": 6.7,
    "ResNet-50 (batch size 64)": 4.2,
    "ResNet-50 (batch size 128)": 2.0,
    "Transformer (batch size 16)": 8.8,
    "Transformer (batch size 32)": 8.5,
    "Transformer (batch size 64)": 6.8,
    "Transformer (batch size 128)": 4.0,
    "Transformer (batch size 256)": 1.2,
}
"""Assumed, not measured: with these speeds the shortest job of each type takes half an hour. A step of a gang takes as
long as one of a single device: each device has its own batch."""
TENANTS: Mapping[str, str] = {
    "A3C": "ranking",
    "CycleGAN": "vision",
    "LM": "language",
    "Recommendation": "ranking",
    "ResNet-18": "vision",
    "ResNet-50": "vision",
    "Transformer": "language",
}
"""The traces name no tenants: who sends which type of job."""
REMARKS = (
    "steps become seconds by an assumed table of steps per second (scripts/philly.py)",
    "all jobs are training that checkpoints; the tenants are vision, language and ranking, by the type of job",
)
LARGEST_NODE = 8
"""A gang of up to so many devices stays on one node."""
COLUMNS = ("type", "command", "steps_argument", "needs_data", "steps", "arrival", "scale_factor")


def _has_a_speed(job_type: str) -> str:
    if job_type not in STEPS_PER_SECOND:
        near = nearest(job_type, STEPS_PER_SECOND)
        raise refuse(f"nobody knows the speed of {show(job_type)}", one_of(STEPS_PER_SECOND), nearest=near)
    return job_type


class Row(Spec):
    """One line; the command, its steps argument and its data do not matter here."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, AfterValidator(_has_a_speed)]
    steps: Annotated[int, Field(ge=1)]
    arrival: Annotated[float, Field(ge=0)]
    scale_factor: Annotated[int, Field(ge=1)]

    def job(self, name: str) -> Job:
        seconds = self.steps / STEPS_PER_SECOND[self.type]
        tenant = TENANTS[self.type.partition(" ")[0]]
        workload = Workload(
            name=name,
            revision=0,
            kind=Kind.TRAINING,
            devices=self.scale_factor,
            memory=0,
            device_memory=0,
            priority_class="training",
            created_at=self.arrival,
            span=Span.NODE if self.scale_factor <= LARGEST_NODE else Span.CLUSTER,
            queue=tenant,
            duration=seconds,
            checkpoints=True,
        )
        return Job(workload, seconds, tenant)


def read(path: Path) -> Trace:
    """Raises SpecError with every problem found, OSError when the file cannot be read."""
    texts = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    lines = ((line, dict(zip(COLUMNS, text.split("\t"), strict=False))) for line, text in texts)
    rows = checked(path, lines, Row, from_text=True)
    return Trace.of(path.stem, (row.job(f"job-{index:05}") for index, row in enumerate(rows)), remarks=REMARKS)

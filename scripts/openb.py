"""Alibaba's openb lists of nodes and pods (the trace of FGD, USENIX ATC 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from control.scheduler.state import WHOLE, Device, Kind, Node, Workload
from control.scheduler.trace import Job, Trace
from control.specs.base import Filled, Spec
from scripts.rows import checked, csv_lines

MIB = 1 << 20
KIND_OF_QOS: Mapping[str, Kind] = {"LS": Kind.INFERENCE, "BE": Kind.BATCH}
"""Latency-sensitive pods serve, best-effort ones are batch work; the rest (Burstable, Guaranteed) is training."""
CLASS_OF_KIND: Mapping[Kind, str] = {
    Kind.INFERENCE: "critical-inference",
    Kind.BATCH: "batch-scoring",
    Kind.TRAINING: "training",
}
TENANT_OF_KIND: Mapping[Kind, str] = {Kind.INFERENCE: "serving", Kind.BATCH: "offline", Kind.TRAINING: "research"}
Amount = Annotated[int, Field(ge=0)]
Time = Annotated[float, Field(ge=0)]


class NodeRow(Spec):
    """One line of a node list."""

    sn: Filled
    cpu_milli: Amount
    memory_mib: Amount
    gpu: Annotated[int, Field(ge=0, le=64)]
    model: str = ""

    @property
    def node(self) -> Node:
        return Node(
            name=self.sn,
            node_id=self.sn,
            resource="GPU",
            gpu_model=self.model,
            interconnect="",
            devices=tuple(Device(f"SIM-{self.sn}-{index}", memory=0) for index in range(self.gpu)),
            memory=self.memory_mib * MIB,
            simulated=True,
            cpu=self.cpu_milli,
        )


class PodRow(Spec):
    """One line of a pod list; `scheduled_time` is missing when the pod never started."""

    model_config = ConfigDict(extra="ignore")

    name: Filled
    cpu_milli: Amount
    memory_mib: Amount
    num_gpu: Amount
    gpu_milli: Annotated[int, Field(ge=0, le=WHOLE)]
    gpu_spec: str = ""
    qos: str
    creation_time: Time
    deletion_time: Time
    scheduled_time: Time | None = None

    @property
    def job(self) -> Job:
        kind = KIND_OF_QOS.get(self.qos, Kind.TRAINING)
        seconds = max(1.0, self.deletion_time - (self.scheduled_time or 0.0))
        workload = Workload(
            name=self.name,
            revision=0,
            kind=kind,
            devices=self.num_gpu,
            memory=self.memory_mib * MIB,
            device_memory=0,
            priority_class=CLASS_OF_KIND[kind],
            created_at=self.creation_time,
            cpu=self.cpu_milli,
            milli=self.gpu_milli if self.num_gpu == 1 else WHOLE,
            models=frozenset(self.gpu_spec.split("|")) - {""},
            duration=seconds,
            checkpoints=kind is Kind.TRAINING,
        )
        return Job(workload, seconds, TENANT_OF_KIND[kind])


def read_nodes(path: Path) -> tuple[Node, ...]:
    """Raises SpecError with every problem found, OSError when the file cannot be read."""
    return tuple(row.node for row in checked(path, csv_lines(path), NodeRow, from_text=True))


def read_pods(path: Path) -> Trace:
    """The pods that ran on GPUs, for as long as they ran. Raises SpecError, OSError."""
    rows = checked(path, csv_lines(path), PodRow, from_text=True)
    on_gpus = [row for row in rows if row.num_gpu]
    ran = [row for row in on_gpus if row.scheduled_time is not None]
    remarks = (
        f"of {len(rows)} pods {len(rows) - len(on_gpus)} ask for no GPU and {len(on_gpus) - len(ran)} never started:"
        " they are left out",
        "a pod runs for deletion_time - scheduled_time; one that is still there when the list ends runs until then",
        "LS pods are inference (critical-inference), BE batch (batch-scoring), the others training that checkpoints;"
        " each kind is a tenant",
    )
    return Trace.of(path.stem, (row.job for row in ran), remarks=remarks)

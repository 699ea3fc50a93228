"""kind Workload: something that wants devices, described apart from what it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from control.specs.base import Manifest, Name, Spec
from control.specs.quantity import Bytes

WorkloadType = Literal["training", "inference", "batch"]

PRIORITY_CLASS: dict[WorkloadType, str] = {
    "training": "training",
    "inference": "critical-inference",
    "batch": "batch-scoring",
}
"""The priority class of a workload that names none."""


class WorkloadSpec(Spec):
    """`memory` is host bytes in all, `device_memory` bytes on each device."""

    type: WorkloadType
    devices: Annotated[int, Field(ge=0)] = 1
    memory: Bytes = 0
    device_memory: Bytes = 0
    priority_class: Name | None = None

    @property
    def priority(self) -> str:
        """The name of the priority class: the one given, else the type's."""
        return self.priority_class or PRIORITY_CLASS[self.type]


class Workload(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Workload"] = "Workload"
    spec: WorkloadSpec

"""kind Workload: something that wants devices, described apart from what it runs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from control.specs.base import Filled, Items, Manifest, Name, Spec
from control.specs.mig_profile import Profile
from control.specs.problem import refuse, show
from control.specs.quantity import MOST, Bytes, Cpus, Seconds

WorkloadType = Literal["training", "inference", "batch"]
SpanName = Literal["node", "rack", "cluster"]
Positive = Annotated[float, Field(gt=0)]

PRIORITY_CLASS: dict[WorkloadType, str] = {
    "training": "training",
    "inference": "critical-inference",
    "batch": "batch-scoring",
}
"""The priority class of a workload that names none."""


IN_PLACE = frozenset({"queue", "priority_class"})
"""What a workload may change without another placement."""


class SliceProfile(Spec):
    """What a model does on one MIG slice, measured or declared: `latency_ms` at `requests_per_second`.

    `memory` is the bytes that it takes of the slice.
    """

    slice: Profile
    latency_ms: Positive
    requests_per_second: Positive
    memory: Bytes = 0


class DeviceAsk(Spec):
    """Which devices, or what of a device, each replica needs.

    `device_memory` is bytes on each device. `gpu_models` are the models that will do; none named: any. `share` is a
    fraction of one device (time-slicing), `slice` a MIG profile. With `latency_ms` the smallest slice of `profiles`
    that keeps it, at `requests_per_second` over all replicas, is used where one can be had, else a whole device.
    """

    device_memory: Bytes = 0
    gpu_models: Items[Filled] = ()
    share: Annotated[float, Field(ge=0.001, lt=1)] | None = None
    slice: Profile | None = None
    latency_ms: Positive | None = None
    requests_per_second: Positive | None = None
    profiles: Items[SliceProfile] = ()
    queue: Name | None = None
    priority_class: Name | None = None

    def check_part(self, devices: int) -> None:
        """Raises PydanticCustomError when a replica of so many devices cannot be had in the way that is asked for."""
        ways = [way for way in ("share", "slice", "profiles") if getattr(self, way)]
        if len(ways) > 1:
            raise refuse(f"{' and '.join(ways)} are given together", "one of them", at=(ways[1],), also=(ways[0],))
        for way in ways:
            if devices != 1:
                raise refuse(f"{way} with {devices} devices", "one device for each replica", at=(way,))
        if self.share and not self.device_memory:
            found = "a share of a device without device_memory"
            raise refuse(found, "how much of the device's memory it takes", at=("share",))
        for field in ("profiles", "requests_per_second"):
            if getattr(self, field) and self.latency_ms is None:
                raise refuse(f"{field} without a latency to keep", "latency_ms beside it", at=(field,))
        for index, profile in enumerate(self.profiles):
            if profile.slice in [one.slice for one in self.profiles[:index]]:
                raise refuse(f"{show(profile.slice)} is described twice", "every slice once", at=("profiles", index))


_ONLY: dict[str, tuple[tuple[WorkloadType, ...], object]] = {
    "least": (("training",), None),
    "replicas": (("inference",), 1),
    "latency_ms": (("inference",), None),
    "requests_per_second": (("inference",), None),
    "profiles": (("inference",), ()),
}
"""The types that a field is for, and what it is when it is not given."""


class WorkloadSpec(DeviceAsk):
    """`devices`, `cpus` (cores) and `memory` (host bytes) are in all: `replicas` share them equally.

    Training that gives `least` is elastic: it runs with any number of devices from there up to `devices`. `span` is
    how far the members of a gang may be apart. `duration` is how long it runs, for those who wait behind it. Who has
    to give way for another is told and has `grace` to stop, and to save its work if it `checkpoints`.
    """

    type: WorkloadType
    devices: Annotated[int, Field(ge=0, le=MOST)] = 1
    least: Annotated[int, Field(ge=1)] | None = None
    replicas: Annotated[int, Field(ge=1, le=MOST)] = 1
    memory: Bytes = 0
    cpus: Cpus = 0.0
    span: SpanName | None = None
    duration: Annotated[Seconds, Field(gt=0)] | None = None
    preemptible: bool = True
    checkpoints: bool | None = None
    grace: Seconds = 30.0

    @property
    def priority(self) -> str:
        """The name of the priority class: the one given, else the type's."""
        return self.priority_class or PRIORITY_CLASS[self.type]

    @property
    def reach(self) -> SpanName:
        """The span given, else the type's: training goes as far as it has to, after trying nearer."""
        return self.span or ("cluster" if self.type == "training" else "node")

    @property
    def saves(self) -> bool:
        """Whether it saves its work when it is told to stop: as given, else as training does."""
        return self.type == "training" if self.checkpoints is None else self.checkpoints

    @model_validator(mode="after")
    def _is_of_its_type(self) -> Self:
        if self.type == "training" and self.slice is not None:
            raise refuse("MIG slices cannot join a gang", "whole devices for training", at=("slice",))
        for field, (types, absent) in _ONLY.items():
            if getattr(self, field) != absent and self.type not in types:
                raise refuse(f"{field} for {self.type}", f"it only for {' or '.join(types)}", at=(field,))
        if self.span not in (None, "node") and self.type != "training":
            raise refuse(f"a span beyond the node for {self.type}", "node: only training is a gang", at=("span",))
        return self

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.least is not None and self.least > self.devices:
            raise refuse(f"at least {self.least} of {self.devices} devices", f"1 to {self.devices}", at=("least",))
        if self.devices % self.replicas:
            found = f"{self.devices} devices for {self.replicas} replicas"
            raise refuse(found, "as many for each replica", at=("devices",), also=("replicas",))
        self.check_part(self.devices // self.replicas)
        return self


class Workload(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Workload"] = "Workload"
    spec: WorkloadSpec

"""kind Deployment: a model version that should be served."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, ValidationError, model_validator

from control.specs.autoscaling import AutoscalingSpec
from control.specs.base import Filled, Items, Manifest, Name, Spec, named_once
from control.specs.problem import refuse, show
from control.specs.quantity import MOST, Bytes, Cpus
from control.specs.rollout import RolloutSpec
from control.specs.sla import Sla
from control.specs.workload import PRIORITY_CLASS, DeviceAsk, WorkloadSpec


def _is_version(value: object) -> object:
    if value == "latest" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise refuse(f"found {show(value)}", "a version number, 1 or more, or latest")


Version = Annotated[int | Literal["latest"], BeforeValidator(_is_version)]


class Adapter(Spec):
    """A LoRA adapter that is served beside the model: clients ask for it as `name`."""

    name: Name
    model: Filled
    version: Version = "latest"


class DeploymentSpec(DeviceAsk):
    """`devices`, `cpus` and `memory` (host bytes) are per engine; `engine` has its settings. A replica is one engine.

    `rollout` says how traffic moves when another version or other settings are wanted: at once, unless it says more.
    There are `replicas` of it, or as many as `autoscaling` finds necessary; `sla` says what its users are promised.
    With `affinity: prefix` requests that begin alike go to the same replica, whose cache knows their beginning.
    With `prefill` each replica has so many engines beside, which only read prompts for the one that answers.
    """

    model: Filled
    version: Version = "latest"
    replicas: Annotated[int, Field(ge=1, le=MOST)] = 1
    devices: Annotated[int, Field(ge=0, le=MOST)] = 1
    prefill: Annotated[int, Field(ge=0, le=MOST)] = 0
    memory: Bytes = 0
    cpus: Cpus = 0.0
    engine: dict[str, JsonValue] = Field(default={})
    rollout: RolloutSpec = RolloutSpec(strategy="instant")
    autoscaling: AutoscalingSpec | None = None
    sla: Sla = Sla()
    adapters: Annotated[Items[Adapter], named_once("adapter")] = ()
    affinity: Literal["prefix"] | None = None

    @property
    def priority(self) -> str:
        """The name of the priority class: the one given, else that of inference."""
        return self.priority_class or PRIORITY_CLASS["inference"]

    @property
    def most(self) -> int:
        """How many replicas its load may ask for."""
        return self.autoscaling.max if self.autoscaling else self.replicas

    @property
    def workload(self) -> WorkloadSpec:
        """What one replica asks of the scheduler."""
        return self.together(1)

    def together(self, replicas: int) -> WorkloadSpec:
        """What so many replicas ask for, each with its part of the requests."""
        asked = {field: getattr(self, field) for field in DeviceAsk.model_fields}
        if self.requests_per_second is not None:
            asked["requests_per_second"] = self.requests_per_second * replicas / self.most
        engines = replicas * (1 + self.prefill)
        return WorkloadSpec(
            type="inference",
            replicas=engines,
            devices=self.devices * engines,
            memory=self.memory * engines,
            cpus=self.cpus * engines,
            **asked,
        )

    @model_validator(mode="after")
    def _is_counted_once(self) -> Self:
        if self.autoscaling is not None and self.replicas != type(self).model_fields["replicas"].default:
            expected = f"one of them, such as autoscaling with min: {min(self.replicas, self.autoscaling.max)}"
            raise refuse(
                f"replicas {self.replicas} beside autoscaling", expected, at=("replicas",), also=("autoscaling",)
            )
        return self

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        self.check_part(self.devices)
        try:
            _ = self.together(self.most)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            expected = first.get("ctx", {}).get("expected") or first["msg"].removeprefix("Input should be ")
            raise refuse(f"{show(first['input'])} over {self.most} replicas", expected, at=first["loc"]) from None
        return self


class Deployment(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec

"""kind Deployment: a model version that should be served."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, ValidationError, model_validator

from control.specs.base import Filled, Manifest
from control.specs.problem import refuse, show
from control.specs.quantity import MOST, Bytes, Cpus
from control.specs.rollout import RolloutSpec
from control.specs.workload import PRIORITY_CLASS, DeviceAsk, WorkloadSpec


def _is_version(value: object) -> object:
    if value == "latest" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise refuse(f"found {show(value)}", "a version number, 1 or more, or latest")


class DeploymentSpec(DeviceAsk):
    """`devices`, `cpus` and `memory` (host bytes) are per replica; `engine` goes to the serving engine.

    `rollout` says how traffic moves when another version or other settings are wanted: at once, unless it says more.
    """

    model: Filled
    version: Annotated[int | Literal["latest"], BeforeValidator(_is_version)] = "latest"
    replicas: Annotated[int, Field(ge=1, le=MOST)] = 1
    devices: Annotated[int, Field(ge=0, le=MOST)] = 1
    memory: Bytes = 0
    cpus: Cpus = 0.0
    engine: dict[str, JsonValue] = Field(default={})
    rollout: RolloutSpec = RolloutSpec(strategy="instant")

    @property
    def priority(self) -> str:
        """The name of the priority class: the one given, else that of inference."""
        return self.priority_class or PRIORITY_CLASS["inference"]

    @property
    def workload(self) -> WorkloadSpec:
        """What an application of it asks of the scheduler."""
        return WorkloadSpec(
            type="inference",
            replicas=self.replicas,
            devices=self.devices * self.replicas,
            memory=self.memory * self.replicas,
            cpus=self.cpus * self.replicas,
            **{field: getattr(self, field) for field in DeviceAsk.model_fields},
        )

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        self.check_part(self.devices)
        try:
            _ = self.workload
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            expected = first.get("ctx", {}).get("expected") or first["msg"].removeprefix("Input should be ")
            raise refuse(f"{show(first['input'])} over {self.replicas} replicas", expected, at=first["loc"]) from None
        return self


class Deployment(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec

"""kind Deployment: a model version that should be served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from control.specs.base import Filled, Manifest, Name, Spec
from control.specs.problem import refuse, show
from control.specs.quantity import Bytes
from control.specs.workload import PRIORITY_CLASS


def _is_version(value: object) -> object:
    if value == "latest" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise refuse(f"found {show(value)}", "a version number, 1 or more, or latest")


class DeploymentSpec(Spec):
    """`devices` and `memory` (host bytes) are per replica; `engine` goes to the serving engine as it is."""

    model: Filled
    version: Annotated[int | Literal["latest"], BeforeValidator(_is_version)] = "latest"
    replicas: Annotated[int, Field(ge=1)] = 1
    devices: Annotated[int, Field(ge=0)] = 1
    memory: Bytes = 0
    priority_class: Name | None = None
    engine: dict[str, JsonValue] = Field(default={})

    @property
    def priority(self) -> str:
        """The name of the priority class: the one given, else that of inference."""
        return self.priority_class or PRIORITY_CLASS["inference"]


class Deployment(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec

"""kind Workflow: the part of Argo's Workflow dialect that the pipeline runs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from control.specs.base import AtLeastOne, Identifier, Items, Manifest, Spec, Text, Waits, named_once
from control.specs.problem import refuse
from control.specs.quantity import Bytes, Count, Cpus

_OWN_ENVIRONMENT = "steps run in the plane's own environment"


class Parameter(Spec):
    name: Identifier
    value: Text


class Arguments(Spec):
    parameters: Annotated[Items[Parameter], named_once("parameter")] = ()


class DagTask(Spec):
    name: Identifier
    template: Identifier
    dependencies: Items[Identifier] = ()
    arguments: Arguments = Arguments()
    when: Text | None = None


class Dag(Spec):
    tasks: Annotated[Items[DagTask], AtLeastOne, named_once("task")]


class Quantities(Spec):
    """`gpu` counts whole devices, `memory` is bytes, `cpu` is cores."""

    gpu: Count | None = Field(default=None, alias="nvidia.com/gpu")
    memory: Bytes | None = None
    cpu: Cpus | None = None


class Resources(Spec):
    limits: Quantities = Quantities()
    requests: Quantities = Quantities()

    @property
    def gpu(self) -> tuple[str, int | None]:
        """Whole devices, None when none are given, and the part that says so."""
        return ("requests", self.requests.gpu) if self.limits.gpu is None else ("limits", self.limits.gpu)

    @property
    def memory(self) -> int:
        """Host bytes, 0 when none are given."""
        return (self.requests.memory if self.limits.memory is None else self.limits.memory) or 0

    @property
    def cpus(self) -> float:
        """Cores that are kept for the step, 0.0 when none are given: a limit alone is a request too."""
        return (self.limits.cpu if self.requests.cpu is None else self.requests.cpu) or 0.0

    @model_validator(mode="after")
    def _agree(self) -> Self:
        gpu, memory, cpu = "nvidia.com/gpu", "memory", "cpu"
        if None not in (self.limits.gpu, self.requests.gpu) and self.limits.gpu != self.requests.gpu:
            found = f"{self.requests.gpu} devices requested, {self.limits.gpu} the limit"
            raise refuse(found, "the same number", at=("requests", gpu), also=("limits", gpu))
        if self.limits.memory is not None and (self.requests.memory or 0) > self.limits.memory:
            found = "more memory requested than the limit"
            raise refuse(found, "at most the limit", at=("requests", memory), also=("limits", memory))
        if self.limits.cpu is not None and (self.requests.cpu or 0.0) > self.limits.cpu:
            found = "more cores requested than the limit"
            raise refuse(found, "at most the limit", at=("requests", cpu), also=("limits", cpu))
        return self


class EnvVar(Spec):
    name: Identifier
    value: Text


class Container(Spec):
    image: Annotated[str | None, Waits("operation", _OWN_ENVIRONMENT)] = None
    command: Annotated[Items[Text], Waits("operation", _OWN_ENVIRONMENT)] = ()
    args: Annotated[Items[Text], Waits("operation", _OWN_ENVIRONMENT)] = ()
    resources: Resources = Resources()
    env: Annotated[Items[EnvVar], named_once("variable")] = ()


class Input(Spec):
    """A step parameter given in the template: `value`, or `default` where the task's arguments give none."""

    name: Identifier
    value: Text | None = None
    default: Text | None = None


class Inputs(Spec):
    parameters: Annotated[Items[Input], named_once("input")] = ()


class ValueFrom(Spec):
    path: str


class Output(Spec):
    name: Identifier
    value_from: Annotated[ValueFrom | None, Waits("operation", "a step hands its outputs over by return value")] = (
        Field(default=None, alias="valueFrom")
    )


class Outputs(Spec):
    parameters: Annotated[Items[Output], named_once("output")] = ()


class Template(Spec):
    """Exactly one of `dag` and `container` is set."""

    name: Identifier
    inputs: Inputs = Inputs()
    outputs: Outputs = Outputs()
    dag: Dag | None = None
    container: Container | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.dag is None) == (self.container is None):
            found = "neither dag nor container" if self.dag is None else "both dag and container"
            raise refuse(f"template '{self.name}' has {found}", "exactly one of dag and container")
        return self


class WorkflowSpec(Spec):
    entrypoint: Identifier
    arguments: Arguments = Arguments()
    templates: Annotated[Items[Template], AtLeastOne, named_once("template")]


class Workflow(Manifest):
    api_version: Literal["argoproj.io/v1alpha1"] = Field(default="argoproj.io/v1alpha1", alias="apiVersion")
    kind: Literal["Workflow"] = "Workflow"
    spec: WorkflowSpec

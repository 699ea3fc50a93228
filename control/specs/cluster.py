"""kind Cluster: the nodes that the plane stands on and the ports it listens on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from control.specs.base import Filled, Items, Manifest, Name, Spec, Waits
from control.specs.problem import refuse, show
from control.specs.quantity import Bytes

Port = Annotated[int, Field(ge=0, le=65535)]


def _is_true(value: object) -> object:
    if value is not True:
        raise refuse(f"found {show(value)}", "true: only simulated nodes are declared, real devices are discovered")
    return value


class Node(Spec):
    """A simulated node: `gpus` devices of `gpu_memory` bytes each, `memory` host bytes, `cpus` cores."""

    name: Name
    simulated: Annotated[Literal[True], BeforeValidator(_is_true)]
    gpus: Annotated[int, Field(ge=0, le=64)]
    gpu_model: Filled
    gpu_memory: Bytes
    interconnect: Annotated[Literal["nvswitch", "nvlink", "pcie"], Waits("scheduler")]
    memory: Bytes
    cpus: Annotated[int, Field(ge=1)] = 16


def _is_one_node(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    if len(nodes) != 1:
        raise refuse(f"found {len(nodes)} nodes", "one node; several simulated nodes come with the scheduler milestone")
    return nodes


class Ports(Spec):
    """0 means: choose a free one."""

    gateway: Port = 8000
    dashboard: Port = 8265
    mlflow: Port = 5001
    ray: Port = 6380

    @model_validator(mode="after")
    def _do_not_collide(self) -> Self:
        taken: dict[int, str] = {}
        for name in ("gateway", "dashboard", "mlflow", "ray"):
            port: int = getattr(self, name)
            if port and port in taken:
                raise refuse(f"port {port} is also the {taken[port]}'s", "different ports", at=(name,))
            taken[port] = name
        return self


class ClusterSpec(Spec):
    nodes: Annotated[Items[Node], AfterValidator(_is_one_node)]
    ports: Ports = Ports()


class Cluster(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Cluster"] = "Cluster"
    spec: ClusterSpec

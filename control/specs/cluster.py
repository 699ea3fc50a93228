"""kind Cluster: the nodes that the plane stands on and the ports it listens on."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from control.specs.base import LABEL_RULE, AtLeastOne, Filled, Items, Manifest, Name, Spec, Text, is_label
from control.specs.problem import nearest, refuse, show
from control.specs.quantity import Bytes

Port = Annotated[int, Field(ge=0, le=65535)]

MIG_LAYOUT = "nvidia.com/mig.config"
"""The label with the MIG layout of a node, as NVIDIA's MIG manager reads it."""
MIG_ON_DEMAND = "biplane.io/mig"
"""With the value `dynamic`: idle devices of the node are cut into the slices that are asked for."""
MOST_NODES = 1000
_OWN_PREFIX, _RAY_PREFIX = "biplane.io/", "ray.io/"
_LABEL_PART = r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([a-z0-9]([-.a-z0-9]{{0,251}}[a-z0-9])?/)?{_LABEL_PART}")
_LABEL_VALUE = re.compile(rf"({_LABEL_PART})?")


def _is_true(value: object) -> object:
    if value is not True:
        raise refuse(f"found {show(value)}", "true: only simulated nodes are declared, real devices are discovered")
    return value


def _are_labels(labels: dict[str, str]) -> dict[str, str]:
    """Ray's rules for labels are those of Kubernetes."""
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            found = f"label {show(key)}: {show(value)}"
            expected = "at most 63 letters, digits, '-', '_' and '.'; the key may have a prefix and a slash"
            raise refuse(found, expected, at=(key,))
        if key.startswith(_RAY_PREFIX):
            raise refuse(f"label {show(key)}", f"another prefix: Ray sets those of {_RAY_PREFIX} itself", at=(key,))
        if key.startswith(_OWN_PREFIX) and key != MIG_ON_DEMAND:
            near = nearest(key, [MIG_ON_DEMAND])
            raise refuse(f"label {show(key)}", f"{MIG_ON_DEMAND}, or another prefix", nearest=near, at=(key,))
    if labels.get(MIG_ON_DEMAND, "dynamic") != "dynamic":
        raise refuse(f"found {show(labels[MIG_ON_DEMAND])}", "dynamic", nearest="dynamic", at=(MIG_ON_DEMAND,))
    if MIG_ON_DEMAND in labels and MIG_LAYOUT in labels:
        found = "the node is cut by a layout and on demand"
        raise refuse(found, "one of the two labels", at=(MIG_ON_DEMAND,), also=(MIG_LAYOUT,))
    return labels


class Node(Spec):
    """A simulated node, or `count` of them: their names are then <name>-0, <name>-1 and so on.

    `gpus` devices of `gpu_memory` bytes each on two sockets, joined by `interconnect` (nvswitch: all to all, as in a
    DGX-H100; nvlink: the hybrid cube mesh of a DGX-1; pcie: pairs under a switch); `memory` host bytes, `cpus` cores.
    Nodes of one `rack` are near each other. `labels` become labels of the Ray node.
    """

    name: Name
    simulated: Annotated[Literal[True], BeforeValidator(_is_true)]
    count: Annotated[int, Field(ge=1, le=MOST_NODES)] = 1
    gpus: Annotated[int, Field(ge=0, le=64)]
    gpu_model: Filled
    gpu_memory: Bytes
    interconnect: Literal["nvswitch", "nvlink", "pcie"]
    memory: Bytes
    cpus: Annotated[int, Field(ge=1)] = 16
    rack: Name | None = None
    labels: Annotated[dict[str, Text], AfterValidator(_are_labels)] = Field(default={})

    @property
    def layout(self) -> str:
        """The MIG layout that its label names; empty when there is none."""
        return self.labels.get(MIG_LAYOUT, "")

    @property
    def carve(self) -> bool:
        """Whether idle devices may be cut on demand."""
        return MIG_ON_DEMAND in self.labels


def _one_by_one(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Every node by its own name, without a count."""
    if sum(node.count for node in nodes) > MOST_NODES:
        raise refuse(f"found {sum(node.count for node in nodes)} nodes", f"at most {MOST_NODES}")
    single: dict[str, Node] = {}
    declared: dict[str, int] = {}
    for index, node in enumerate(nodes):
        names = [node.name] if node.count == 1 else [f"{node.name}-{number}" for number in range(node.count)]
        for name in names:
            if name in single:
                at, also = (index, "name"), (declared[name], "name")
                raise refuse(f"node '{name}' is given twice", "every name once", at=at, also=also)
            if not is_label(name):
                raise refuse(f"found {show(name)}", LABEL_RULE, at=(index, "name"))
            single[name], declared[name] = node.model_copy(update={"name": name, "count": 1}), index
    return tuple(single.values())


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
    """`nodes` are one by one once they are read: a `count` is only a way to write many."""

    nodes: Annotated[Items[Node], AtLeastOne, AfterValidator(_one_by_one)]
    ports: Ports = Ports()


class Cluster(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Cluster"] = "Cluster"
    spec: ClusterSpec

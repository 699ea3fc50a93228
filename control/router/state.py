"""What the router knows: deployments that are wanted, versions that exist, applications that run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from control.kernel.ids import AppName
from control.kernel.placement import Placement
from control.kernel.present import AppView


class Phase(Enum):
    """Where a deployment stands."""

    WAITING = "Waiting"  # for a version to be registered
    PLACING = "Placing"  # for the scheduler's lease
    STARTING = "Starting"  # the wanted application is coming up; an older one may still serve
    READY = "Ready"
    DEGRADED = "Degraded"  # serving, while Serve replaces replicas
    FAILED = "Failed"


@dataclass(frozen=True)
class Arm:
    """A version that takes traffic at `url` with a share of `weight`."""

    version: int
    weight: float
    url: str
    app: str


@dataclass(frozen=True)
class Deployment:
    """A deployment as wanted, with what the store last said of it. `version` None means the latest."""

    name: str
    revision: int
    generation: int
    model: str
    version: int | None
    replicas: int
    devices: int
    memory: int
    priority_class: str
    engine: Mapping[str, Any]
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What makes two applications of one version differ."""
        return {
            "model": self.model,
            "replicas": self.replicas,
            "devices": self.devices,
            "memory": self.memory,
            "engine": dict(self.engine),
        }

    def app(self, version: int) -> AppName:
        return AppName.of(self.name, version, self.settings)


@dataclass(frozen=True)
class Version:
    """A registered version and where its files are (an artifact URI)."""

    model: str
    version: int
    source: str


@dataclass(frozen=True)
class Surroundings:
    """Where things are on this plane: the gateway's URL, the internal key (by reference), the model directory."""

    gateway_url: str
    mlflow_url: str
    internal_key_file: str
    models_directory: str


@dataclass(frozen=True)
class Snapshot:
    """One look. `placements` and `apps` are keyed by workload and application name.

    `routed` has the URLs of the table that the gateway's replicas read, as published at `published_at`.
    """

    now: float

    deployments: tuple[Deployment, ...]
    versions: tuple[Version, ...]
    placements: Mapping[str, Placement]
    apps: Mapping[str, AppView]
    routed: frozenset[str]
    published_at: float
    surroundings: Surroundings

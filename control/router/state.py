"""What the router knows: deployments that are wanted, versions that exist, applications that run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from control.kernel.ids import AppName, app_workload, digest
from control.kernel.placement import Placement
from control.kernel.present import AppView
from control.router.part import Part


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
    """An application of a version that takes traffic at `url` with a share of `weight`."""

    version: int
    weight: float
    url: str
    app: str


IN_PLACE = frozenset({"queue", "priority_class"})
"""What a workload may change without another placement."""


@dataclass(frozen=True)
class Deployment:
    """A deployment as wanted, with what the store last said of it. `version` None means the latest.

    `workload` is what an application asks of the scheduler, as the spec of a Workload. `share_memory` is how many
    bytes of a device are a replica's own when it has a share of one, else 0.
    """

    name: str
    revision: int
    generation: int
    model: str
    version: int | None
    workload: Mapping[str, Any]
    share_memory: int
    engine: Mapping[str, Any]
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> str:
        """A digest of what makes two applications of one version differ."""
        placed = {name: value for name, value in self.workload.items() if name not in IN_PLACE}
        return digest({"model": self.model, "workload": placed, "engine": dict(self.engine)})

    def workload_name(self, version: int) -> str:
        return app_workload(self.name, version, self.settings)

    def app(self, version: int, part: Part) -> AppName:
        return AppName(self.name, version, self.settings, part.lease)


@dataclass(frozen=True)
class Version:
    """A registered version and where its files are (an artifact URI)."""

    model: str
    version: int
    source: str


@dataclass(frozen=True)
class Surroundings:
    """Where things are on this plane: the gateway's URL, the internal key (by reference), models, device claims."""

    gateway_url: str
    mlflow_url: str
    internal_key_file: str
    models_directory: str
    claims_directory: str


@dataclass(frozen=True)
class Snapshot:
    """One look. `placements` and `apps` are keyed by workload and application name.

    `asked` has the spec of each stored Workload. `routed` has the URLs of the table that the gateway's replicas read,
    as published at `published_at`.
    """

    now: float
    deployments: tuple[Deployment, ...]
    versions: tuple[Version, ...]
    asked: Mapping[str, Mapping[str, Any]]
    placements: Mapping[str, Placement]
    apps: Mapping[str, AppView]
    routed: frozenset[str]
    published_at: float
    surroundings: Surroundings

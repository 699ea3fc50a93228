"""What the router knows: deployments that are wanted, versions that exist, applications that run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from control.engine_report import EngineReport
from control.kernel.ids import digest
from control.kernel.placement import Placement
from control.kernel.present import AppView
from control.router.judgements import Scores
from control.router.rollout_state import Release, Request
from control.specs.autoscaling import AutoscalingSpec
from control.specs.rollout import RolloutSpec
from control.specs.sla import Sla
from control.specs.workload import IN_PLACE
from control.traffic import Traffic


class Phase(Enum):
    """Where a deployment stands."""

    WAITING = "Waiting"  # for a version to be registered
    PLACING = "Placing"  # for the scheduler's lease
    STARTING = "Starting"  # what is wanted is coming up; an older release may still serve
    ROLLING_OUT = "RollingOut"  # two releases serve, and traffic moves from one to the other
    ROLLED_BACK = "RolledBack"  # what is wanted was tried and was worse; the release before it serves
    READY = "Ready"
    ASLEEP = "Asleep"  # scaled to zero: the next request wakes it
    SCALING = "Scaling"  # serving, while replicas are added
    DEGRADED = "Degraded"  # serving, with replicas that do not
    FAILED = "Failed"


@dataclass(frozen=True)
class Replica:
    """An application that can serve; `url` is its route through the plane's HTTP front."""

    app: str
    url: str


@dataclass(frozen=True)
class Arm:
    """A version that takes `weight`, 0 to 1, of the traffic, on any of its `replicas`. `name` is an A/B test's."""

    version: int
    weight: float
    name: str
    replicas: tuple[Replica, ...]


@dataclass(frozen=True)
class Build:
    """What the replicas of a release are made with, whatever their version.

    `workload` is what each asks of the scheduler, as the spec of a Workload. `share_memory` is how many bytes of a
    device are a replica's own when it has a share of one, else 0. `adapters` has where the files of each are, by the
    name under which it is served.
    """

    model: str
    workload: Mapping[str, Any]
    share_memory: int
    engine: Mapping[str, Any]
    adapters: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> str:
        """A digest of what makes two applications of one version differ."""
        placed = {name: value for name, value in self.workload.items() if name not in IN_PLACE}
        adapters = {"adapters": dict(self.adapters)} if self.adapters else {}
        return digest({"model": self.model, "workload": placed, "engine": dict(self.engine), **adapters})


@dataclass(frozen=True)
class Deployment:
    """A deployment as wanted, with what the store last said of it. `version` None means the latest.

    `replicas` carry all of its traffic, unless `autoscaling` finds how many do. `request` is what a person last asked
    of its roll-out; `judged` has what judges outside said of each version.
    """

    name: str
    revision: int
    generation: int
    version: int | None
    build: Build
    replicas: int
    rollout: RolloutSpec
    autoscaling: AutoscalingSpec | None = None
    sla: Sla = field(default_factory=Sla)
    request: Request | None = None
    judged: Mapping[int, Scores] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all that a person wrote: while it stays the same a release that was rolled back is not tried again."""
        rollout = self.rollout.model_dump(mode="json")
        return digest({"version": self.version, "settings": self.build.settings, "rollout": rollout})

    def asked_for(self, versions: Iterable[Version]) -> list[Version]:
        """Those of its model that it would serve, refused ones too."""
        return [v for v in versions if v.model == self.build.model and self.version in (None, v.version)]

    def release(self, version: int) -> Release:
        return Release(version, self.build.settings)


@dataclass(frozen=True)
class Version:
    """A registered version and where its files are (an artifact URI); `refused` says why it may take no traffic."""

    model: str
    version: int
    source: str
    refused: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Where things are on this plane: the gateway's URL, the internal key (by reference), models, device claims."""

    serve_url: str
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
    traffic: Mapping[str, Mapping[str, Traffic]] = field(default_factory=dict)
    """What each gateway replica counted of each application, by application and replica."""
    engines: Mapping[str, EngineReport] = field(default_factory=dict)
    """What each application said lately of its engine."""
    recent: Mapping[str, Traffic] = field(default_factory=dict)
    """What each application did in the last half minute, on all gateway replicas."""
    wakes: Mapping[str, float] = field(default_factory=dict)
    """When somebody last waited for a deployment that sleeps, by the deployment's name."""

    def lately(self, apps: Iterable[str]) -> Traffic:
        """What the applications did together in the last half minute."""
        return sum((self.recent[app] for app in apps if app in self.recent), Traffic())

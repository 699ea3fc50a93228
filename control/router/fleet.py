"""What there is of one release of a deployment: its devices and its applications, and how those are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from control.kernel.ids import AppName, app_workload
from control.kernel.placement import Placement
from control.kernel.plan import Effect, EnsureApp, Plan, PutSpec
from control.kernel.present import AppState, AppView
from control.router.part import Part, parts_of
from control.router.rollout_state import Reading, Release
from control.router.state import Arm, Build, Snapshot

BUILDER = "serve_apps.llm:build"
ABSENT = AppView(AppState.ABSENT)


@dataclass(frozen=True)
class Member:
    """An application on one node, as it is seen."""

    app: AppName
    part: Part
    view: AppView


@dataclass(frozen=True)
class Fleet:
    """A release of `deployment`; without devices it has no members. `able` are those that may take traffic, by name."""

    deployment: str
    release: Release
    build: Build
    placement: Placement | None
    members: tuple[Member, ...]
    able: frozenset[str]

    @classmethod
    def of(cls, deployment: str, release: Release, build: Build, snapshot: Snapshot, trusted: Collection[str]) -> Fleet:
        """`trusted` are the applications that took traffic before: those may, too, while Serve replaces replicas."""
        placement = snapshot.placements.get(app_workload(deployment, release.version, release.settings))
        parts = parts_of(placement) if placement is not None else ()
        names = [AppName(deployment, release.version, release.settings, part.lease) for part in parts]
        members = tuple(
            Member(name, part, snapshot.apps.get(str(name), ABSENT)) for name, part in zip(names, parts, strict=True)
        )
        staying = placement is not None and not placement.evicted
        able = {
            str(m.app)
            for m in members
            if m.view.state is AppState.RUNNING or (m.view.state is AppState.SICK and str(m.app) in trusted)
        }
        return cls(deployment, release, build, placement, members, frozenset(able) if staying else frozenset())

    @property
    def workload(self) -> str:
        return app_workload(self.deployment, self.release.version, self.release.settings)

    @property
    def granted(self) -> bool:
        return self.placement is not None and self.placement.granted

    @property
    def ready(self) -> float:
        """The part of its replicas that can serve, 0 to 1."""
        replicas = sum(len(member.part.pieces) for member in self.members)
        return sum(len(m.part.pieces) for m in self.members if str(m.app) in self.able) / replicas if replicas else 0.0

    @property
    def states(self) -> frozenset[AppState]:
        return frozenset(member.view.state for member in self.members)

    @property
    def messages(self) -> str:
        return "; ".join(member.view.message for member in self.members if member.view.message)

    def reading(self, snapshot: Snapshot) -> Reading:
        """What it did so far, as each gateway replica counted it."""
        return Reading(
            {
                f"{replica}/{member.app}": traffic
                for member in self.members
                for replica, traffic in snapshot.traffic.get(str(member.app), {}).items()
            }
        )

    def arms(self, weight: float, name: str, gateway_url: str) -> Iterator[Arm]:
        """Its applications that can serve, with traffic in proportion to their replicas."""
        able = [member for member in self.members if str(member.app) in self.able]
        replicas = sum(len(member.part.pieces) for member in able)
        for m in able:
            share = weight * len(m.part.pieces) / replicas
            yield Arm(m.app.version, share, gateway_url + m.app.route_prefix, str(m.app), name)

    def wanted(self, snapshot: Snapshot, source: str) -> Plan:
        """Ask for its devices, and start what is missing on those that it has."""
        asked: tuple[PutSpec, ...] = ()
        if snapshot.asked.get(self.workload) != self.build.workload:
            asked = (_ask(self),)
        starts: tuple[Effect, ...] = ()
        if self.granted:
            starts = tuple(
                _start(self, member, source, snapshot)
                for member in self.members
                if member.view.state is AppState.ABSENT
            )
        return Plan(asked, starts)


def _ask(fleet: Fleet) -> PutSpec:
    """The workload as it is wanted: what may change in place is changed there."""
    return PutSpec(
        kind="Workload",
        name=fleet.workload,
        event="Requested",
        reason=f"deployment {fleet.deployment} wants {fleet.release}",
        spec={
            "apiVersion": "biplane/v1",
            "kind": "Workload",
            "metadata": {"name": fleet.deployment},
            "spec": dict(fleet.build.workload),
        },
    )


def _start(fleet: Fleet, member: Member, source: str, snapshot: Snapshot) -> Effect:
    around, build = snapshot.surroundings, fleet.build
    piece = member.part.pieces[0]
    args: Mapping[str, Any] = {
        "model": fleet.deployment,
        "version": str(fleet.release.version),
        "source": source,
        "path": f"{around.models_directory}/{build.model}/{fleet.release.version}",
        "mlflow_url": around.mlflow_url,
        "node_id": piece.node_id,
        "resource": piece.resource,
        "milli": piece.milli,
        "replica_devices": [list(one.devices) for one in member.part.pieces],
        "share_memory": build.share_memory,
        "workload": fleet.workload,
        "claims_directory": around.claims_directory,
        "engine": dict(build.engine),
        "internal_key_file": around.internal_key_file,
    }
    return EnsureApp(
        kind="Deployment",
        name=fleet.deployment,
        reason=f"{fleet.release} is wanted",
        app=str(member.app),
        route_prefix=member.app.route_prefix,
        builder=BUILDER,
        args=args,
    )

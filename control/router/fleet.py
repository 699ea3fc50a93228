"""What there is of one release of a deployment: its replicas, each with a lease and an application of its own. Pure.

One application a replica, so that replicas come and go one by one, wherever there are devices, and the rest serves on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from control.kernel.ids import AppName, app_workload, digest
from control.kernel.placement import Placement
from control.kernel.plan import EnsureApp, Plan, PutSpec
from control.kernel.present import AppState, AppView
from control.router.rollout_state import Release
from control.router.state import Build, Replica, Snapshot
from control.specs.step import GrantPiece

BUILDER = "serve_apps.llm:build"
ABSENT = AppView(AppState.ABSENT)
_STANDS = {
    AppState.ABSENT: "its application is being started",
    AppState.STARTING: "its application is starting",
    AppState.RUNNING: "",
    AppState.SICK: "its process is being replaced",
    AppState.FAILED: "its application failed",
    AppState.ENDING: "its former application is ending",
}
"""What is said of an application that Serve says nothing of."""


@dataclass(frozen=True)
class Member:
    """A replica as it is seen; without a place (`app` None) it has only asked for one.

    `able` says whether it may take traffic.
    """

    workload: str
    placement: Placement | None
    app: AppName | None
    view: AppView
    able: bool

    @property
    def granted(self) -> bool:
        return self.placement is not None and self.placement.granted

    @property
    def lacks(self) -> str:
        """What keeps it from serving, in words; empty when nothing does."""
        if not self.granted:
            return self.placement.reason if self.placement else "the scheduler has not answered yet"
        # Of what it replaces Serve says only that it is unhealthy.
        told = "" if self.view.state is AppState.SICK else self.view.message.partition("\n")[0]
        return "" if self.view.state is AppState.RUNNING else told or _STANDS[self.view.state]


@dataclass(frozen=True)
class Fleet:
    """The replicas that a release of `deployment` should have."""

    deployment: str
    release: Release
    build: Build
    members: tuple[Member, ...]

    @classmethod
    def of(
        cls, deployment: str, release: Release, build: Build, count: int, snapshot: Snapshot, trusted: Collection[str]
    ) -> Fleet:
        """`trusted` are the applications that took traffic before: those may, too, while Serve replaces replicas."""
        members = tuple(_member(deployment, release, replica, snapshot, trusted) for replica in range(count))
        return cls(deployment, release, build, members)

    @property
    def able(self) -> tuple[AppName, ...]:
        return tuple(member.app for member in self.members if member.able and member.app is not None)

    @property
    def ready(self) -> float:
        """The part of its replicas that can serve, 0 to 1."""
        return len(self.able) / len(self.members) if self.members else 0.0

    @property
    def states(self) -> frozenset[AppState]:
        """How the applications are of those that have a place."""
        return frozenset(member.view.state for member in self.members if member.granted)

    @property
    def placed(self) -> int:
        """How many have devices."""
        return sum(member.granted for member in self.members)

    @property
    def refused(self) -> str:
        """Why the scheduler gives one of them no devices; empty where it does, or has not answered yet."""
        answers = (member.placement for member in self.members if not member.granted)
        return next((placement.reason for placement in answers if placement and not placement.evicted), "")

    @property
    def lacks(self) -> str:
        """What keeps replicas from serving, each reason once."""
        return "; ".join(dict.fromkeys(member.lacks for member in self.members if member.lacks))

    @property
    def pressing(self) -> str:
        """The workload on which it depends what happens next: the first without devices, else the first."""
        waiting = [member.workload for member in self.members if not member.granted]
        return next(iter(waiting or [member.workload for member in self.members]), "")

    def stay(self, proven: bool) -> frozenset[str]:
        """The applications that go on. Where what has `proven` to serve failed to start, it was the place or the
        moment: it makes room for another try."""
        failed = AppState.FAILED if proven else None
        return frozenset(str(m.app) for m in self.members if m.granted and m.view.state is not failed)

    def replicas(self, serve_url: str) -> tuple[Replica, ...]:
        """Those that can serve."""
        return tuple(Replica(str(app), serve_url + app.route_prefix) for app in self.able)

    def wanted(self, snapshot: Snapshot, source: str) -> Plan:
        """Ask for devices, and start what is missing on those that are there."""
        asked = tuple(
            _ask(self, member) for member in self.members if snapshot.asked.get(member.workload) != self.build.workload
        )
        starts = tuple(
            _start(self, member.app, member.placement.pieces, source, snapshot)
            for member in self.members
            if member.view.state is AppState.ABSENT and member.granted and member.app and member.placement
        )
        return Plan(asked, starts)


def lease_of(placement: Placement) -> str:
    """A digest: the same for the same devices of the same nodes, and for nothing else."""
    pieces = [asdict(piece) for piece in placement.pieces]
    return digest(pieces if len(pieces) > 1 else pieces[0])


def _member(deployment: str, release: Release, replica: int, snapshot: Snapshot, trusted: Collection[str]) -> Member:
    workload = app_workload(deployment, release.version, release.settings, replica)
    placement = snapshot.placements.get(workload)
    if placement is None or not placement.pieces:
        return Member(workload, placement, None, ABSENT, able=False)
    app = AppName(deployment, release.version, release.settings, replica, lease_of(placement))
    view = snapshot.apps.get(str(app), ABSENT)
    serves = view.state is AppState.RUNNING or (view.state is AppState.SICK and str(app) in trusted)
    return Member(workload, placement, app, view, able=serves and not placement.evicted)


def _ask(fleet: Fleet, member: Member) -> PutSpec:
    """The workload as it is wanted: what may change in place is changed there."""
    return PutSpec(
        kind="Workload",
        name=member.workload,
        event="Requested",
        reason=f"deployment {fleet.deployment} wants {fleet.release}",
        spec={
            "apiVersion": "biplane/v1",
            "kind": "Workload",
            "metadata": {"name": fleet.deployment},
            "spec": dict(fleet.build.workload),
        },
    )


def _start(fleet: Fleet, app: AppName, pieces: Sequence[GrantPiece], source: str, snapshot: Snapshot) -> EnsureApp:
    """The first piece is that of the engine that answers, the others are of those that only read prompts."""
    around, build = snapshot.surroundings, fleet.build
    own, *others = (
        {"node_id": one.node_id, "resource": one.resource, "milli": one.milli, "devices": list(one.devices)}
        for one in pieces
    )
    return EnsureApp(
        kind="Deployment",
        name=fleet.deployment,
        reason=f"{fleet.release} is wanted",
        app=str(app),
        route_prefix=app.route_prefix,
        builder=BUILDER,
        args={
            "app": str(app),
            "model": fleet.deployment,
            "version": str(fleet.release.version),
            "source": source,
            "path": f"{around.models_directory}/{build.model}/{fleet.release.version}",
            "mlflow_url": around.mlflow_url,
            **own,
            "share_memory": build.share_memory,
            "workload": app.workload,
            "claims_directory": around.claims_directory,
            "engine": dict(build.engine),
            "adapters": dict(build.adapters),
            "prefill": others,
            "internal_key_file": around.internal_key_file,
        },
    )

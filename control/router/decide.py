"""Which applications should run, and which versions take traffic. Pure.

A deployment moves to another version, or to other settings, by starting applications beside the first: those keep
their traffic until all of the others are ready. An application runs on the devices that it was started on or not at
all: it takes no traffic from when they are wanted back, and is ended; when they have become somebody else's, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from control.kernel.ids import APP_WORKLOAD_PREFIX, AppName
from control.kernel.placement import Placement
from control.kernel.plan import Effect, EndApp, EnsureApp, Plan, PutSpec, PutStatus, Record, Remove
from control.kernel.present import AppState, AppView
from control.router.part import Part, parts_of
from control.router.state import Arm, Deployment, Phase, Snapshot, Version

BUILDER = "serve_apps.llm:build"
DRAIN_SECONDS = 4.0
"""How long after a new table an application that it no longer names goes on: replicas read the table every second."""
ABSENT = AppView(AppState.ABSENT)
NOTHING = Plan()


@dataclass(frozen=True)
class _Outcome:
    """What one deployment comes to: its plan, and the applications and workloads that it still needs."""

    plan: Plan
    keeps: frozenset[str]
    workloads: frozenset[str]


def decide(snapshot: Snapshot) -> Plan:
    outcomes = [_deployment(deployment, snapshot) for deployment in snapshot.deployments]
    plan = sum((outcome.plan for outcome in outcomes), Plan())
    kept = frozenset().union(*(outcome.keeps for outcome in outcomes))
    workloads = frozenset().union(*(outcome.workloads for outcome in outcomes))
    return plan + _retire(snapshot, kept, workloads)


def _deployment(deployment: Deployment, snapshot: Snapshot) -> _Outcome:
    serving = _serving(deployment, snapshot)
    version = _version(deployment, snapshot.versions)
    if version is None:
        wanted = "any version" if deployment.version is None else f"version {deployment.version}"
        reason = f"{wanted} of model {deployment.model} is not registered"
        return _outcome(deployment, Phase.WAITING, reason, serving)
    workload = deployment.workload_name(version.version)
    asked = Plan(_ask(deployment, version, workload, snapshot))
    placement = snapshot.placements.get(workload)
    if placement is None or not placement.granted:
        reason = placement.reason if placement and placement.reason else "the scheduler has not answered yet"
        return _outcome(deployment, Phase.PLACING, reason, serving, workload, plan=asked)
    parts = parts_of(placement)
    apps = [deployment.app(version.version, part) for part in parts]
    views = [snapshot.apps.get(str(app), ABSENT) for app in apps]
    arms = _arms(apps, parts, snapshot)
    messages = "; ".join(view.message for view in views if view.message)
    states = {view.state for view in views}
    trusted = {arm.app for arm in serving}
    if states == {AppState.RUNNING}:
        reason = f"version {version.version} serves"
        return _outcome(deployment, Phase.READY, reason, arms, workload, apps, asked)
    if AppState.FAILED in states:
        return _outcome(deployment, Phase.FAILED, messages, serving, workload, apps, asked)
    if states <= {AppState.RUNNING, AppState.SICK} and trusted >= {arm.app for arm in arms}:
        return _outcome(deployment, Phase.DEGRADED, messages, arms, workload, apps, asked)
    starts = tuple(
        _start(deployment, version, app, part, snapshot)
        for app, part, view in zip(apps, parts, views, strict=True)
        if view.state is AppState.ABSENT
    )
    reason = messages or ("its application is being started" if starts else "its replicas are starting")
    return _outcome(deployment, Phase.STARTING, reason, serving, workload, apps, asked + Plan(effects=starts))


def _arms(apps: Sequence[AppName], parts: Sequence[Part], snapshot: Snapshot) -> tuple[Arm, ...]:
    """Traffic in proportion to the replicas of each application."""
    replicas = sum(len(part.pieces) for part in parts)
    return tuple(
        Arm(app.version, len(part.pieces) / replicas, snapshot.surroundings.gateway_url + app.route_prefix, str(app))
        for app, part in zip(apps, parts, strict=True)
    )


def _version(deployment: Deployment, versions: tuple[Version, ...]) -> Version | None:
    candidates = [v for v in versions if v.model == deployment.model and deployment.version in (None, v.version)]
    return max(candidates, key=lambda v: v.version, default=None)


def _serving(deployment: Deployment, snapshot: Snapshot) -> tuple[Arm, ...]:
    """The arms that the store last published and whose applications still can serve."""
    published = tuple(Arm(**arm) for arm in deployment.status.get("arms", ()))
    able = tuple(arm for arm in published if _can_serve(arm.app, snapshot))
    if able == published:
        return published
    weight = sum(arm.weight for arm in able)
    return tuple(replace(arm, weight=arm.weight / weight) for arm in able)


def _can_serve(name: str, snapshot: Snapshot) -> bool:
    app = AppName.parse(name)
    if app is None or snapshot.apps.get(name, ABSENT).state not in (AppState.RUNNING, AppState.SICK):
        return False
    placement = snapshot.placements.get(app.workload)
    return placement is not None and _is_on(app, placement) and not placement.evicted


def _is_on(app: AppName, placement: Placement) -> bool:
    """Whether the devices that the application was started on are still its own."""
    return app.lease in {part.lease for part in parts_of(placement)}


def _outcome(
    deployment: Deployment,
    phase: Phase,
    reason: str,
    arms: tuple[Arm, ...],
    workload: str = "",
    apps: Sequence[AppName] = (),
    plan: Plan = NOTHING,
) -> _Outcome:
    status: dict[str, Any] = {
        "generation": deployment.generation,
        "phase": phase.value,
        "reason": reason,
        "workload": workload,
        "arms": [asdict(arm) for arm in arms],
    }
    keeps = frozenset({arm.app for arm in arms} | {str(app) for app in apps})
    workloads = frozenset({workload})
    if status == deployment.status:
        return _Outcome(plan, keeps, workloads)
    record = PutStatus(
        kind="Deployment",
        name=deployment.name,
        event=phase.value,
        reason=reason,
        revision=deployment.revision,
        status=status,
        quiet=deployment.status.get("phase") == phase.value,
    )
    return _Outcome(Plan((record,)) + plan, keeps, workloads)


def _ask(deployment: Deployment, version: Version, workload: str, snapshot: Snapshot) -> tuple[Record, ...]:
    """The workload as it is wanted: what may change in place is changed there."""
    if snapshot.asked.get(workload) == deployment.workload:
        return ()
    ask = PutSpec(
        kind="Workload",
        name=workload,
        event="Requested",
        reason=f"deployment {deployment.name} wants version {version.version}",
        spec={
            "apiVersion": "biplane/v1",
            "kind": "Workload",
            "metadata": {"name": deployment.name},
            "spec": dict(deployment.workload),
        },
    )
    return (ask,)


def _start(deployment: Deployment, version: Version, app: AppName, part: Part, snapshot: Snapshot) -> Effect:
    around = snapshot.surroundings
    piece = part.pieces[0]
    return EnsureApp(
        kind="Deployment",
        name=deployment.name,
        reason=f"version {version.version} is wanted",
        app=str(app),
        route_prefix=app.route_prefix,
        builder=BUILDER,
        args={
            "model": deployment.name,
            "version": str(version.version),
            "source": version.source,
            "path": f"{around.models_directory}/{version.model}/{version.version}",
            "mlflow_url": around.mlflow_url,
            "node_id": piece.node_id,
            "resource": piece.resource,
            "milli": piece.milli,
            "replica_devices": [list(one.devices) for one in part.pieces],
            "share_memory": deployment.share_memory,
            "workload": app.workload,
            "claims_directory": around.claims_directory,
            "engine": dict(deployment.engine),
            "internal_key_file": around.internal_key_file,
        },
    )


def _retire(snapshot: Snapshot, kept: frozenset[str], workloads: frozenset[str]) -> Plan:
    """End the applications, and give back the devices, that no deployment needs and no published route names."""
    running = [
        app
        for app in map(AppName.parse, sorted(snapshot.apps))
        if app is not None and snapshot.apps[str(app)].state is not AppState.ENDING
    ]
    ends = tuple(
        EndApp(kind="Deployment", name=app.deployment, reason=reason, app=str(app))
        for app in running
        if str(app) not in kept and (reason := _why_end(app, snapshot))
    )
    # A workload goes only after its application is gone: two workloads must never hold one device.
    needed = workloads | {app.workload for app in map(AppName.parse, snapshot.apps) if app is not None}
    releases = tuple(
        Remove(kind="Workload", name=name, event="Released", reason="its application is gone")
        for name in sorted(snapshot.placements)
        if name.startswith(APP_WORKLOAD_PREFIX) and name not in needed
    )
    return Plan(releases, ends)


def _why_end(app: AppName, snapshot: Snapshot) -> str:
    """Why an application that is not kept is ended now; empty while requests may still come to it."""
    placement = snapshot.placements.get(app.workload)
    if placement is None or not _is_on(app, placement):
        return "its devices are not its own any more"
    if placement.evicted and snapshot.now >= placement.deadline:
        return f"evicted: {placement.evicted}"
    drained = snapshot.now - snapshot.published_at >= DRAIN_SECONDS
    if not drained or snapshot.surroundings.gateway_url + app.route_prefix in snapshot.routed:
        return ""
    return f"evicted: {placement.evicted}" if placement.evicted else "no deployment needs it any more"

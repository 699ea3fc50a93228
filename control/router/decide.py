"""Which applications should run, and which versions take traffic. Pure.

A deployment moves to another version, or to other settings, by starting a second application beside the first: the
first keeps its traffic until the second is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from control.kernel.ids import APP_WORKLOAD_PREFIX, AppName
from control.kernel.placement import Placement
from control.kernel.plan import Create, Effect, EndApp, EnsureApp, Plan, PutStatus, Record, Remove
from control.kernel.present import AppState, AppView
from control.router.state import Arm, Deployment, Phase, Snapshot, Version

BUILDER = "serve_apps.llm:build"
DRAIN_SECONDS = 4.0
"""How long after a new table an application that it no longer names goes on: replicas read the table every second."""
ABSENT = AppView(AppState.ABSENT)
NOTHING = Plan()


@dataclass(frozen=True)
class _Outcome:
    """What one deployment comes to: its plan, and the applications that it still needs."""

    plan: Plan
    keeps: frozenset[str]


def decide(snapshot: Snapshot) -> Plan:
    outcomes = [_deployment(deployment, snapshot) for deployment in snapshot.deployments]
    plan = sum((outcome.plan for outcome in outcomes), Plan())
    kept = frozenset().union(*(outcome.keeps for outcome in outcomes))
    return plan + _retire(snapshot, kept)


def _deployment(deployment: Deployment, snapshot: Snapshot) -> _Outcome:
    serving = _serving(deployment, snapshot.apps)
    version = _version(deployment, snapshot.versions)
    if version is None:
        wanted = "any version" if deployment.version is None else f"version {deployment.version}"
        reason = f"{wanted} of model {deployment.model} is not registered"
        return _outcome(deployment, Phase.WAITING, reason, serving)
    app = deployment.app(version.version)
    placement = snapshot.placements.get(app.workload)
    if placement is None or not placement.granted:
        asked = () if placement else (_ask(deployment, app),)
        reason = placement.reason if placement and placement.reason else "the scheduler has not answered yet"
        return _outcome(deployment, Phase.PLACING, reason, serving, app, Plan(asked))
    ensure = Plan(effects=(_ensure(deployment, version, app, placement, snapshot),))
    view = snapshot.apps.get(str(app), ABSENT)
    arm = Arm(version.version, 1.0, snapshot.surroundings.gateway_url + app.route_prefix, str(app))
    match view.state:
        case AppState.RUNNING:
            return _outcome(deployment, Phase.READY, f"version {arm.version} serves", (arm,), app)
        case AppState.SICK if arm in serving:
            return _outcome(deployment, Phase.DEGRADED, view.message, (arm,), app)
        case AppState.FAILED:
            return _outcome(deployment, Phase.FAILED, view.message, serving, app)
        case AppState.ABSENT:
            return _outcome(deployment, Phase.STARTING, "its application is being started", serving, app, ensure)
        case AppState.STARTING | AppState.SICK | AppState.ENDING:
            reason = view.message or "its replicas are starting"
            return _outcome(deployment, Phase.STARTING, reason, serving, app)


def _version(deployment: Deployment, versions: tuple[Version, ...]) -> Version | None:
    candidates = [v for v in versions if v.model == deployment.model and deployment.version in (None, v.version)]
    return max(candidates, key=lambda v: v.version, default=None)


def _serving(deployment: Deployment, apps: Mapping[str, AppView]) -> tuple[Arm, ...]:
    """The arms that the store last published and whose applications still can serve."""
    arms = tuple(Arm(**arm) for arm in deployment.status.get("arms", ()))
    alive = (AppState.RUNNING, AppState.SICK)
    return tuple(arm for arm in arms if apps.get(arm.app, ABSENT).state in alive)


def _outcome(
    deployment: Deployment,
    phase: Phase,
    reason: str,
    arms: tuple[Arm, ...],
    app: AppName | None = None,
    plan: Plan = NOTHING,
) -> _Outcome:
    status: dict[str, Any] = {
        "generation": deployment.generation,
        "phase": phase.value,
        "reason": reason,
        "app": "" if app is None else str(app),
        "arms": [asdict(arm) for arm in arms],
    }
    keeps = frozenset({arm.app for arm in arms} | ({str(app)} if app else set()))
    if status == deployment.status:
        return _Outcome(plan, keeps)
    record = PutStatus(
        kind="Deployment",
        name=deployment.name,
        event=phase.value,
        reason=reason,
        revision=deployment.revision,
        status=status,
        quiet=deployment.status.get("phase") == phase.value,
    )
    return _Outcome(Plan((record,)) + plan, keeps)


def _ask(deployment: Deployment, app: AppName) -> Record:
    return Create(
        kind="Workload",
        name=app.workload,
        event="Requested",
        reason=f"deployment {deployment.name} wants version {app.version}",
        spec={
            "apiVersion": "biplane/v1",
            "kind": "Workload",
            "metadata": {"name": deployment.name},
            "spec": {
                "type": "inference",
                "devices": deployment.devices * deployment.replicas,
                "memory": deployment.memory * deployment.replicas,
                "priority_class": deployment.priority_class,
            },
        },
    )


def _ensure(deployment: Deployment, version: Version, app: AppName, placement: Placement, snapshot: Snapshot) -> Effect:
    around = snapshot.surroundings
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
            "replicas": deployment.replicas,
            "resource": placement.resource,
            "devices": deployment.devices,
            "device_uuids": list(placement.devices),
            "node_id": placement.node_id,
            "engine": dict(deployment.engine),
            "internal_key_file": around.internal_key_file,
        },
    )


def _retire(snapshot: Snapshot, kept: frozenset[str]) -> Plan:
    """End the applications, and give back the devices, that no deployment needs and no published route names."""
    drained = snapshot.now - snapshot.published_at >= DRAIN_SECONDS
    ends = tuple(
        EndApp(kind="Deployment", name=app.deployment, reason="no deployment needs it any more", app=str(app))
        for app in map(AppName.parse, sorted(snapshot.apps))
        if app is not None
        and str(app) not in kept
        and snapshot.apps[str(app)].state is not AppState.ENDING
        and drained
        and snapshot.surroundings.gateway_url + app.route_prefix not in snapshot.routed
    )
    # A workload goes only after its application is gone: two workloads must never hold one device.
    needed = {a.workload for a in map(AppName.parse, {*kept, *snapshot.apps}) if a is not None}
    releases = tuple(
        Remove(kind="Workload", name=name, event="Released", reason="its application is gone")
        for name in sorted(snapshot.placements)
        if name.startswith(APP_WORKLOAD_PREFIX) and name not in needed
    )
    return Plan(releases, ends)

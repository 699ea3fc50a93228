"""Which applications should run, and which releases take traffic. Pure.

A deployment moves to another version, or to other settings, by a roll-out (`rollout.py`): the applications of what is
wanted start beside those that serve, which keep their traffic until the others may take it. An application runs on the
devices that it was started on or not at all: it takes no traffic from when they are wanted back, and is ended; when
they have become somebody else's, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from control.kernel.ids import APP_WORKLOAD_PREFIX, AppName
from control.kernel.placement import Placement
from control.kernel.plan import EndApp, Note, Plan, PutStatus, Remove
from control.kernel.present import AppState
from control.router import rollout
from control.router.fleet import Fleet
from control.router.part import parts_of
from control.router.rollout_json import from_json, to_json
from control.router.rollout_state import Decision, Look, Release, Share, Stage, State
from control.router.state import Arm, Build, Deployment, Phase, Snapshot, Version

DRAIN_SECONDS = 4.0
"""How long after a new table an application that it no longer names goes on: replicas read the table every second."""
TOLD_SECONDS = 5.0
"""How often the figures of an analysis are written anew while nothing else changes."""


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
    state = _stored(deployment)
    wanted = _wanted(deployment, snapshot.versions)
    named = _named(deployment, snapshot.versions)
    builds = _builds(deployment, state, (wanted, *named.values()))
    trusted = {arm["app"] for arm in deployment.status.get("arms", ())}
    fleets = {
        release: Fleet.of(deployment.name, release, build, snapshot, trusted) for release, build in builds.items()
    }
    decision = rollout.decide(
        state,
        Look(
            now=snapshot.now,
            spec=deployment.rollout,
            digest=deployment.digest,
            wanted=wanted,
            ready={release: fleet.ready for release, fleet in fleets.items()},
            readings={release: fleet.reading(snapshot) for release, fleet in fleets.items()},
            named=named,
            request=deployment.request,
        ),
    )
    running = {release: fleets[release] for release in sorted(decision.keeps) if release in fleets}
    plan = sum((fleet.wanted(snapshot, _source(fleet, snapshot)) for fleet in running.values()), Plan())
    phase, reason = _stands(deployment, decision, wanted, running, snapshot.versions)
    url = snapshot.surroundings.gateway_url

    def spread(shares: Iterable[Share]) -> tuple[Arm, ...]:
        """Over the applications of the releases, those that can serve."""
        there = [share for share in shares if share.release in running]
        return tuple(arm for share in there for arm in running[share.release].arms(share.weight, share.name, url))

    arms, shadows = spread(decision.arms), spread(decision.shadows)
    # Where traffic moves at once the phases tell it all.
    happened = () if deployment.rollout.strategy == "instant" else decision.happened
    notes = (Note(kind="Deployment", name=deployment.name, event=event.value, reason=why) for event, why in happened)
    status: dict[str, Any] = {
        "generation": deployment.generation,
        "phase": phase.value,
        "reason": reason,
        "workload": _workload(decision, wanted, running),
        "arms": [asdict(arm) for arm in arms],
        "shadows": [asdict(arm) for arm in shadows],
        "rollout": to_json(decision.state),
        "builds": [{**asdict(release), **asdict(fleet.build)} for release, fleet in running.items()],
        "analysis": decision.comparison.reason if decision.comparison else "",
        "told_at": snapshot.now,
    }
    keeps = {str(member.app) for fleet in running.values() if fleet.granted for member in fleet.members}
    return _Outcome(
        Plan(tuple(notes)) + _record(deployment, status) + plan,
        frozenset(keeps | {arm.app for arm in (*arms, *shadows)}),
        frozenset(fleet.workload for fleet in running.values()),
    )


def _stored(deployment: Deployment) -> State:
    """Where the roll-out stood. Of an older Biplane only who takes traffic is known."""
    if "rollout" not in deployment.status:
        apps = [AppName.parse(arm["app"]) for arm in deployment.status.get("arms", ())]
        return State(stable=next((Release(app.version, app.settings) for app in apps if app is not None), None))
    return from_json(deployment.status["rollout"])


def _wanted(deployment: Deployment, versions: Iterable[Version]) -> Release | None:
    candidates = [v.version for v in _asked_for(deployment, versions) if not v.refused]
    return deployment.release(max(candidates)) if candidates else None


def _asked_for(deployment: Deployment, versions: Iterable[Version]) -> list[Version]:
    return [v for v in versions if v.model == deployment.build.model and deployment.version in (None, v.version)]


def _named(deployment: Deployment, versions: Iterable[Version]) -> dict[str, Release]:
    """The releases of an A/B test's arms that are registered."""
    known = {v.version for v in versions if v.model == deployment.build.model and not v.refused}
    return {arm.name: deployment.release(arm.version) for arm in deployment.rollout.arms if arm.version in known}


def _builds(deployment: Deployment, state: State, wanted: Iterable[Release | None]) -> dict[Release, Build]:
    """What each release is made with: the deployment says it of its own settings, the store of those before."""
    builds = {release: deployment.build for release in wanted if release is not None}
    stored = {
        Release(told["version"], told["settings"]): Build(
            told["model"], told["workload"], told["share_memory"], told["engine"]
        )
        for told in deployment.status.get("builds", ())
    }
    for release in (state.stable, state.target):
        if release is not None and release not in builds:
            own = release.settings == deployment.build.settings
            if own or release in stored:
                builds[release] = deployment.build if own else stored[release]
    return builds


def _source(fleet: Fleet, snapshot: Snapshot) -> str:
    versions = (v for v in snapshot.versions if (v.model, v.version) == (fleet.build.model, fleet.release.version))
    return next((version.source for version in versions), "")


def _workload(decision: Decision, wanted: Release | None, running: Mapping[Release, Fleet]) -> str:
    """The workload on which it depends what happens next."""
    fleet = running.get(decision.state.target or wanted or Release(0, "")) or next(iter(running.values()), None)
    return fleet.workload if fleet else ""


def _stands(
    deployment: Deployment,
    decision: Decision,
    wanted: Release | None,
    running: Mapping[Release, Fleet],
    versions: Iterable[Version],
) -> tuple[Phase, str]:
    """Where the deployment stands, and why."""
    state = decision.state
    if wanted is None and not deployment.rollout.arms:
        if refused := [v for v in _asked_for(deployment, versions) if v.refused]:
            last = max(refused, key=lambda v: v.version)
            return Phase.WAITING, f"version {last.version} of model {last.model} is not served: {last.refused}"
        version = "any version" if deployment.version is None else f"version {deployment.version}"
        return Phase.WAITING, f"{version} of model {deployment.build.model} is not registered"
    order = (state.target, wanted, state.stable)
    coming = [running[release] for release in order if release is not None and release in running]
    if not coming:
        return Phase.WAITING, decision.reason
    fleet = coming[0]
    if not fleet.granted:
        return Phase.PLACING, fleet.placement.reason if fleet.placement else "the scheduler has not answered yet"
    if AppState.FAILED in fleet.states:
        return Phase.FAILED, fleet.messages
    if state.target is None and not deployment.rollout.arms and state.stable != wanted:
        return Phase.ROLLED_BACK, decision.reason
    if state.stage in (Stage.SHADOWING, Stage.STEPPING, Stage.KEEPING):
        return Phase.ROLLING_OUT, decision.reason
    if state.target is None and fleet.states == {AppState.RUNNING}:
        return Phase.READY, decision.reason if deployment.rollout.arms else f"version {fleet.release.version} serves"
    if state.target is None and fleet.ready == 1.0:
        return Phase.DEGRADED, fleet.messages
    absent = AppState.ABSENT in fleet.states
    reason = fleet.messages or ("its application is being started" if absent else "its replicas are starting")
    return Phase.STARTING, reason


def _record(deployment: Deployment, status: Mapping[str, Any]) -> Plan:
    before = deployment.status
    figures = {"analysis", "told_at"}
    changed = {k: v for k, v in status.items() if k not in figures} != {
        k: v for k, v in before.items() if k not in figures
    }
    due = status["told_at"] - before.get("told_at", 0.0) >= TOLD_SECONDS
    if not changed and (status["analysis"] == before.get("analysis", "") or not due):
        return Plan()
    record = PutStatus(
        kind="Deployment",
        name=deployment.name,
        event=status["phase"],
        reason=status["reason"],
        revision=deployment.revision,
        status=status,
        quiet=before.get("phase") == status["phase"],
    )
    return Plan((record,))


def _is_on(app: AppName, placement: Placement) -> bool:
    """Whether the devices that the application was started on are still its own."""
    return app.lease in {part.lease for part in parts_of(placement)}


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

"""Which applications should run, and which releases take traffic. Pure.

A deployment moves to another version, or to other settings, by a roll-out (`rollout.py`): the replicas of what is
wanted start beside those that serve, which keep their traffic until the others may take it. An application runs on the
devices that it was started on or not at all: it takes no traffic from when they are wanted back, and is ended; when
they have become somebody else's, at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from control.kernel.ids import APP_WORKLOAD_PREFIX, AppName
from control.kernel.plan import EndApp, Note, Plan, PutStatus, Remove
from control.kernel.present import AppState
from control.router import rollout
from control.router.fleet import Fleet, lease_of
from control.router.readings import readings_of
from control.router.replicas import replicas_of
from control.router.rollout_json import from_json, to_json
from control.router.rollout_state import Decision, Look, Release, Share, Stage, State
from control.router.state import Arm, Build, Deployment, Phase, Snapshot, Version

DRAIN_SECONDS = 4.0
"""How long after a new table an application that it no longer names goes on: gateways read the table every second."""
PATIENCE_SECONDS = 600.0
"""How long it goes on at most for the requests that it still has."""
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
    trusted = {replica["app"] for arm in deployment.status.get("arms", ()) for replica in arm.get("replicas", ())}

    def fleets(counts: Mapping[Release, int], otherwise: int) -> dict[Release, Fleet]:
        return {
            release: Fleet.of(deployment.name, release, build, counts.get(release, otherwise), snapshot, trusted)
            for release, build in builds.items()
        }

    look = Look(
        now=snapshot.now,
        spec=deployment.rollout,
        digest=deployment.digest,
        wanted=wanted,
        ready={},
        readings=readings_of(deployment.name, snapshot.traffic),
        named=named,
        request=deployment.request,
    )
    before = fleets(replicas_of(state, look, deployment.replicas), max(1, deployment.replicas))
    look = replace(look, ready={release: fleet.ready for release, fleet in before.items()})
    decision = rollout.decide(state, look)
    after = fleets(replicas_of(decision.state, look, deployment.replicas), 0)
    running = {release: after[release] for release in sorted(decision.keeps) if release in after}
    plan = sum((fleet.wanted(snapshot, _source(fleet, snapshot)) for fleet in running.values()), Plan())
    phase, reason = _stands(deployment, decision, wanted, running, trusted, snapshot.versions)
    url = snapshot.surroundings.gateway_url

    def spread(shares: Iterable[Share]) -> tuple[Arm, ...]:
        """Those who have a replica that can serve."""
        there = [(share, running[share.release].replicas(url)) for share in shares if share.release in running]
        return tuple(
            Arm(share.release.version, share.weight, share.name, replicas) for share, replicas in there if replicas
        )

    arms, shadows = spread(decision.arms), spread(decision.shadows)
    # Where traffic moves at once the phases tell it all.
    happened = () if deployment.rollout.strategy == "instant" else decision.happened
    notes = (Note(kind="Deployment", name=deployment.name, event=event.value, reason=why) for event, why in happened)
    status: dict[str, Any] = {
        "generation": deployment.generation,
        "phase": phase.value,
        "reason": reason,
        "workload": _workload(decision, wanted, running),
        "replicas": {
            "wanted": sum(len(f.members) for f in running.values()),
            "serving": sum(len(f.able) for f in running.values()),
        },
        "arms": [_told(arm) for arm in arms],
        "shadows": [_told(arm) for arm in shadows],
        "rollout": to_json(decision.state),
        "builds": [{**asdict(release), **asdict(fleet.build)} for release, fleet in running.items()],
        "analysis": decision.comparison.reason if decision.comparison else "",
        "told_at": snapshot.now,
    }
    stay = (fleet.stay(proven=release == decision.state.stable) for release, fleet in running.items())
    return _Outcome(
        Plan(tuple(notes)) + _record(deployment, status) + plan,
        frozenset().union(*stay),
        frozenset(member.workload for fleet in running.values() for member in fleet.members),
    )


def _told(arm: Arm) -> dict[str, Any]:
    """As JSON, so that it equals what the store has of it."""
    return {**asdict(arm), "replicas": [asdict(replica) for replica in arm.replicas]}


def _stored(deployment: Deployment) -> State:
    """Where the roll-out stood."""
    return from_json(deployment.status["rollout"]) if "rollout" in deployment.status else State()


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
    return fleet.pressing if fleet else ""


def _stands(
    deployment: Deployment,
    decision: Decision,
    wanted: Release | None,
    running: Mapping[Release, Fleet],
    trusted: Collection[str],
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
    if not fleet.placed:
        return Phase.PLACING, fleet.lacks
    if AppState.FAILED in fleet.states and not (fleet.able and fleet.release == state.stable):
        return Phase.FAILED, fleet.lacks
    if state.target is None and not deployment.rollout.arms and state.stable != wanted:
        return Phase.ROLLED_BACK, decision.reason
    if state.stage in (Stage.SHADOWING, Stage.STEPPING, Stage.KEEPING):
        return Phase.ROLLING_OUT, decision.reason
    if state.target is None and not any(member.lacks for member in fleet.members):
        return Phase.READY, decision.reason if deployment.rollout.arms else f"version {fleet.release.version} serves"
    part = f"{len(fleet.able)} of {len(fleet.members)} replicas serve" if len(fleet.members) > 1 else ""
    if state.target is None and fleet.able:
        lost = any(str(member.app) in trusted for member in fleet.members if member.lacks)
        return Phase.DEGRADED if lost else Phase.SCALING, ": ".join(filter(None, (part, fleet.lacks)))
    return Phase.STARTING, fleet.lacks


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
    if placement is None or not placement.pieces or lease_of(placement) != app.lease:
        return "its devices are not its own any more"
    if placement.evicted and snapshot.now >= placement.deadline:
        return f"evicted: {placement.evicted}"
    elapsed = snapshot.now - snapshot.published_at
    drained = elapsed >= (PATIENCE_SECONDS if snapshot.busy.get(str(app)) else DRAIN_SECONDS)
    if not drained or snapshot.surroundings.gateway_url + app.route_prefix in snapshot.routed:
        return ""
    if placement.evicted:
        return f"evicted: {placement.evicted}"
    failed = snapshot.apps[str(app)].state is AppState.FAILED
    return "it failed and is tried again" if failed else "no deployment needs it any more"

"""Which applications should run, and which releases take traffic. Pure.

A deployment moves to another version, or to other settings, by a roll-out (`rollout.py`): the replicas of what is
wanted start beside those that serve, which keep their traffic until the others may take it. An application runs on the
devices that it was started on or not at all: it takes no traffic from when they are wanted back, and is ended; when
they have become somebody else's, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from control.kernel.plan import Note, Plan, PutStatus
from control.router import autoscale_state, objectives, rollout
from control.router.fleet import Fleet
from control.router.readings import readings_of
from control.router.replicas import replicas_of
from control.router.retire import retire
from control.router.rollout_json import from_json, to_json
from control.router.rollout_state import Decision, Look, Release, Share, State
from control.router.scaling import lasting, rescaled, scaled
from control.router.stands import stands
from control.router.state import Arm, Build, Deployment, Snapshot, Version

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
    return plan + retire(snapshot, kept, workloads)


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
        readings=readings_of(deployment.name, snapshot.traffic, deployment.judged),
        named=named,
        request=deployment.request,
    )
    scale = scaled(deployment)
    before = fleets(replicas_of(state, look, scale.replicas), max(1, scale.replicas))
    look = replace(look, ready={release: fleet.ready for release, fleet in before.items()})
    decision = rollout.decide(state, look)
    rescale = rescaled(scale, deployment, decision.state, before, snapshot)
    after = fleets(replicas_of(decision.state, look, rescale.replicas), 0)
    running = {release: after[release] for release in sorted(decision.keeps) if release in after}
    plan = sum((fleet.wanted(snapshot, _source(fleet, snapshot)) for fleet in running.values()), Plan())
    phase, reason = stands(deployment, decision, wanted, running, trusted, snapshot.versions)
    url = snapshot.surroundings.serve_url

    def spread(shares: Iterable[Share]) -> tuple[Arm, ...]:
        """Those who have a replica that can serve."""
        there = [(share, running[share.release].replicas(url)) for share in shares if share.release in running]
        return tuple(
            Arm(share.release.version, share.weight, share.name, replicas) for share, replicas in there if replicas
        )

    arms, shadows = spread(decision.arms), spread(decision.shadows)
    # Where traffic moves at once the phases tell it all.
    happened = () if deployment.rollout.strategy == "instant" else decision.happened
    notes = [Note(kind="Deployment", name=deployment.name, event=event.value, reason=why) for event, why in happened]
    alerts = objectives.missed(deployment, running.values(), snapshot)
    notes += objectives.notes(deployment, alerts)
    if rescale.replicas != scale.replicas:
        notes.append(Note(kind="Deployment", name=deployment.name, event="Scaled", reason=rescale.reason))
    status: dict[str, Any] = {
        "generation": deployment.generation,
        "phase": phase.value,
        "reason": reason,
        "workload": _workload(decision, wanted, running),
        "replicas": {
            "wanted": sum(len(f.members) for f in running.values()),
            "serving": sum(not m.lacks for f in running.values() for m in f.members),
        },
        "arms": [_told(arm) for arm in arms],
        "shadows": [_told(arm) for arm in shadows],
        "scale": autoscale_state.to_json(rescale) if deployment.autoscaling else None,
        "rollout": to_json(decision.state),
        "builds": [{**asdict(release), **asdict(fleet.build)} for release, fleet in running.items()],
        "missed": objectives.told(alerts),
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
    candidates = [v.version for v in deployment.asked_for(versions) if not v.refused]
    return deployment.release(max(candidates)) if candidates else None


def _named(deployment: Deployment, versions: Iterable[Version]) -> dict[str, Release]:
    """The releases of an A/B test's arms that are registered."""
    known = {v.version for v in versions if v.model == deployment.build.model and not v.refused}
    return {arm.name: deployment.release(arm.version) for arm in deployment.rollout.arms if arm.version in known}


def _builds(deployment: Deployment, state: State, wanted: Iterable[Release | None]) -> dict[Release, Build]:
    """What each release is made with: the deployment says it of its own settings, the store of those before."""
    builds = {release: deployment.build for release in wanted if release is not None}
    stored = {
        Release(told["version"], told["settings"]): Build(
            told["model"], told["workload"], told["share_memory"], told["engine"], told.get("adapters", {})
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


def _record(deployment: Deployment, status: Mapping[str, Any]) -> Plan:
    before = deployment.status
    due = status["told_at"] - before.get("told_at", 0.0) >= TOLD_SECONDS
    if _lasting(status) == _lasting(before) and not (due and _figures(status) != _figures(before)):
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


def _lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    """What is written whenever it changes."""
    rest = {name: value for name, value in status.items() if name not in ("analysis", "told_at")}
    return rest | {"scale": lasting(status.get("scale")), "missed": objectives.lasting(status.get("missed", ()))}


def _figures(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """What changes from look to look."""
    return status.get("analysis", ""), status.get("scale"), status.get("missed")

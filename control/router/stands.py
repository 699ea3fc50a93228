"""Where a deployment stands, in a word and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from control.kernel.present import AppState
from control.router.fleet import Fleet
from control.router.rollout_state import Decision, Release, Stage
from control.router.state import Deployment, Phase, Version


def stands(
    deployment: Deployment,
    decision: Decision,
    wanted: Release | None,
    running: Mapping[Release, Fleet],
    trusted: Collection[str],
    versions: Iterable[Version],
) -> tuple[Phase, str]:
    """`wanted` is the release that the spec asks for, `running` are those that should run, `trusted` the applications
    that took traffic before.
    """
    state = decision.state
    if wanted is None and not deployment.rollout.arms:
        if refused := [v for v in deployment.asked_for(versions) if v.refused]:
            last = max(refused, key=lambda v: v.version)
            return Phase.WAITING, f"version {last.version} of model {last.model} is not served: {last.refused}"
        version = "any version" if deployment.version is None else f"version {deployment.version}"
        return Phase.WAITING, f"{version} of model {deployment.build.model} is not registered"
    order = (state.target, wanted, state.stable)
    coming = [running[release] for release in order if release is not None and release in running]
    if not coming:
        return Phase.WAITING, decision.reason
    fleet = coming[0]
    if not fleet.members:
        return Phase.ASLEEP, "no request comes; the next one wakes it"
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
    serving = sum(not member.lacks for member in fleet.members)
    part = f"{serving} of {len(fleet.members)} replicas serve" if len(fleet.members) > 1 else ""
    if state.target is None and fleet.able:
        lost = any(str(member.app) in trusted for member in fleet.members if member.lacks)
        return Phase.DEGRADED if lost else Phase.SCALING, ": ".join(filter(None, (part, fleet.lacks)))
    return Phase.STARTING, fleet.lacks

"""Who takes traffic in a state of a roll-out, and how much. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from control.router.rollout_state import FULL, Look, Release, Share, Stage, State


def arms_of(state: State, look: Look) -> Iterator[Share]:
    """Who cannot serve leaves its part to those who can; the stable release stands in for a target that took all."""
    if look.spec.strategy == "ab":
        wanted = [
            Share(look.named[arm.name], arm.percent, arm.name) for arm in look.spec.arms if arm.name in look.named
        ]
    elif state.target is not None:
        wanted = [Share(state.target, state.percent)]
        wanted += [Share(state.stable, FULL - state.percent)] if state.stable else []
    else:
        wanted = []
    able = [share for share in wanted if share.weight and _can_take(share.release, state, look)]
    if not able and state.stable is not None:
        able = [Share(state.stable, FULL)]
    total = sum(share.weight for share in able)
    return (replace(share, weight=share.weight / total) for share in able)


def _can_take(release: Release, state: State, look: Look) -> bool:
    return bool(look.ready.get(release)) and not state.why_failed(release, look.digest)


def shadows_of(state: State, look: Look) -> Iterator[Share]:
    if state.stage is Stage.SHADOWING and state.target and look.spec.mirrored and look.ready.get(state.target):
        yield Share(state.target, look.spec.mirrored)

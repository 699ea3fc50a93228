"""How many replicas each release of a roll-out runs with. Pure."""

from __future__ import annotations

import math

from control.router.rollout_state import FULL, Look, Release, State

_ROUNDING = 1e-9


def replicas_of(state: State, look: Look, wanted: int) -> dict[Release, int]:
    """By release, where `wanted` replicas carry all of the deployment's traffic.

    Whoever may have to take all traffic at once has replicas for that: a release that is coming, and the one that it
    would go back to. A rolling update takes one away for each that it added; an A/B test never moves traffic.
    """
    if look.spec.strategy == "ab" and state.target is None:
        parts = {look.named[arm.name]: 0.0 for arm in look.spec.arms if arm.name in look.named}
        for arm in look.spec.arms:
            if arm.name in look.named:
                parts[look.named[arm.name]] += arm.percent / FULL
        counts = {release: math.ceil(wanted * part - _ROUNDING) for release, part in parts.items()}
        if state.stable is not None:
            counts.setdefault(state.stable, wanted)
        return counts
    if state.target is None:
        return {} if state.stable is None else {state.stable: wanted}
    most = max(1, wanted)
    counts = {state.target: most}
    if state.stable is not None:
        moved = math.floor(most * state.percent / FULL + _ROUNDING) if look.spec.promotes == "rolling" else 0
        # Nobody compares with a sleeping release where traffic moves at once.
        counts[state.stable] = wanted if look.spec.promotes == "instant" else most - moved
    return counts

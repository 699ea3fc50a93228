"""How many replicas carry a deployment's traffic: as many as it says, or as its load needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.router.autoscale import scale
from control.router.autoscale_state import Scale, ScaleLook, from_json
from control.router.fleet import Fleet
from control.router.rollout_state import Release, Stage, State
from control.router.state import Deployment, Snapshot

_FIGURES = ("mark", "flow", "flow_at")
"""What of a scale is measured anew all the time."""


def scaled(deployment: Deployment) -> Scale:
    """As the last look left it."""
    if deployment.autoscaling is None:
        return Scale(needed=deployment.replicas, spares=deployment.sla.spares)
    stored = deployment.status.get("scale")
    # Asleep is what becomes of a model that nobody uses: at first it shows that it can serve.
    return from_json(stored) if stored else Scale(needed=max(1, deployment.autoscaling.min))


def rescaled(
    before: Scale, deployment: Deployment, state: State, fleets: Mapping[Release, Fleet], snapshot: Snapshot
) -> Scale:
    """By the load of the release that carries most of the traffic. While a roll-out moves traffic away from it, it is
    never taken for less."""
    if deployment.autoscaling is None:
        return before
    main = fleets.get((state.target if state.stage is Stage.KEEPING else state.stable) or Release(0, ""))
    if main is None:
        return before
    able = [str(app) for app in main.able]
    look = ScaleLook(
        now=snapshot.now,
        spec=deployment.autoscaling,
        sla=deployment.sla,
        serving=len(able),
        reports=tuple(snapshot.engines[app] for app in able if app in snapshot.engines),
        recent=snapshot.lately(able),
        wake_asked=snapshot.wakes.get(deployment.name),
        refusal=main.refused,
    )
    after = scale(before, look)
    return before if state.target is not None and after.replicas < before.replicas else after


def lasting(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is stored of a scale, without what changes from look to look."""
    return {name: value for name, value in (stored or {}).items() if name not in _FIGURES}

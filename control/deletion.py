"""What is not deleted just so, and why. Pure on objects and heartbeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from pydantic import ValidationError

from control.kernel.ids import API_KEY_KIND, WAKE_PREFIX
from control.kernel.store import Heartbeat, Object
from control.registry.guard import not_retirable
from control.registry.view import uses_of
from control.specs.api_key import ApiKey

LATELY_SECONDS = 60.0
"""Who asked for a sleeping model no longer ago may still wait for it."""


def in_use(found: Object, beats: Iterable[Heartbeat], now: float) -> str:
    """What users would lose with a deployment; empty for all that has no traffic. `now` in seconds since the epoch."""
    if found.kind != "Deployment":
        return ""
    arms = [(arm["version"], arm.get("weight", 1.0)) for arm in found.status.get("arms", ())]
    whole = sum(weight for _, weight in arms)
    if whole:
        shares = {version: sum(w for v, w in arms if v == version) / whole for version, _ in arms}
        listed = " and ".join(f"version {version} ({share:.0%})" for version, share in sorted(shares.items()) if share)
        names = ", ".join(adapter["name"] for adapter in found.spec["spec"].get("adapters", ()))
        return f"deployment {found.name} serves {listed}" + (f", and the adapters {names}" if names else "")
    asked = next((beat.at for beat in beats if beat.actor == WAKE_PREFIX + found.name), 0.0)
    if now - asked <= LATELY_SECONDS:
        return f"deployment {found.name} was asked for {now - asked:.0f} s ago"
    return ""


def still_opens(found: Object, now: float) -> str:
    """Why an API key is not forgotten yet; empty for all that opens nothing. `now` in seconds since the epoch."""
    with suppress(ValidationError):
        if found.kind == API_KEY_KIND and ApiKey.model_validate(found.spec).standing(now) == "valid":
            return f"the API key {found.name} is still good; first: biplane gateway keys revoke {found.name}"
    return ""


def observed(found: Object, stored: Sequence[Object]) -> str:
    """Why what nobody wrote cannot be deleted, and what can be done instead."""
    if found.kind != "ModelVersion":
        return f"{found.kind} {found.name} is observed; it goes when what it shows goes"
    uses = [use for use in uses_of(stored) if (use.model, use.version) == (found.spec["model"], found.spec["version"])]
    return not_retirable(found.name, uses) or (
        f"ModelVersion {found.name} is observed; it goes when MLflow has it no more. Out of use it goes with: "
        f"biplane retire model/{found.name} --reason WHY"
    )

"""What may not be done with a version, and why. Pure: the same words at apply, in the record, on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control.registry.state import Gate, Ruling, Stage, Use

ROLES = (Stage.SHADOW, Stage.CANARY, Stage.PRODUCTION)


def refusals(
    name: str, gate: tuple[Gate, str], retired: Ruling | None, overridden: Ruling | None
) -> Mapping[Stage, str]:
    """For each role that the version may not be given, why."""
    if retired is not None:
        why = f"{name} was retired by {retired.by}: {retired.reason}; biplane restore model/{name} takes it back"
        return dict.fromkeys(ROLES, why)
    verdict, because = gate
    if verdict is Gate.FAILED and overridden is None:
        why = f"{name} failed its evaluation gate" + (f" ({because})" if because else "")
        return {role: why for role in ROLES if role.answers}
    return {}


def not_retirable(name: str, uses: Sequence[Use]) -> str:
    """Why the version cannot be retired now; empty when it can."""
    if not uses:
        return ""
    holders = ", ".join(sorted({f"{use.deployment} ({use.role})" for use in uses}))
    return f"{name} is in use by deployment {holders}; move it to another version, or delete it, first"

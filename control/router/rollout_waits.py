"""What a roll-out waits for, in words for people; empty where it goes on. Pure."""

from __future__ import annotations

from control.router.analysis import Comparison, Verdict
from control.router.rollout_state import FULL, Look, Release, Stage, State
from control.specs.quantity import show_seconds

_KEPT = {"canary": "hold", "blue-green": "keep"}
"""Which field says how long the old release stands warm after the switch; elsewhere not at all."""
_NOBODY = Release(0, "")


def reason_of(state: State, look: Look, comparison: Comparison | None) -> str:
    """Without figures of now: what is stored changes only when something else is waited for."""
    if look.spec.strategy == "ab":
        missing = [arm.name for arm in look.spec.arms if not look.ready.get(look.named.get(arm.name, _NOBODY))]
        return f"A/B test; cannot serve: {', '.join(missing)}" if missing else "A/B test"
    if state.target is not None:
        return f"{state.target} takes {state.percent:g} %: {waits_for(state, look, comparison)}"
    failed = state.why_failed(look.wanted, look.digest) if look.wanted else ""
    if failed:
        return f"{look.wanted} is not tried again until the spec changes: {failed}"
    return f"{state.stable} serves" if state.stable else "no version can be had yet"


def waits_for(state: State, look: Look, comparison: Comparison | None) -> str:
    """Why the target does not go on now; empty where it does."""
    spec, elapsed = look.spec, max(0.0, look.now - state.since)
    ready = look.ready.get(state.target, 0.0) if state.target else 0.0
    if state.held or state.paused:
        return f"held: {state.held}" if state.held else f"paused: {state.paused}"
    if state.stage is Stage.KEEPING:
        keep = getattr(spec, _KEPT.get(spec.promotes, ""), 0.0)
        if elapsed < keep:
            return f"{state.stable} stands warm for {show_seconds(keep)} after the switch"
        return _doubt(comparison) or ("" if ready else "none of its replicas can serve")
    if spec.promotes == "rolling" and state.stable is not None:
        done = f"{100 * ready:.0f} % of its replicas can serve"
        return "" if next_percent(state, look) > state.percent else done
    if ready < 1 and (state.stable is not None or not ready):  # the first release serves with what it has
        return f"{100 * ready:.0f} % of its replicas can serve" if ready else "none of its replicas can serve yet"
    if state.stage is Stage.PREPARING or (state.stage is Stage.SHADOWING and not spec.mirrored):
        return ""
    waits = _evidence_lacks(elapsed, look, comparison)
    if waits or spec.promotes:
        return waits
    return "a person has to promote it (or `then:` in the spec)"


def _evidence_lacks(elapsed: float, look: Look, comparison: Comparison | None) -> str:
    """What a step still needs before the next."""
    if comparison is None:
        return ""
    spec, had = look.spec, comparison.requests
    if elapsed < spec.hold:
        return f"the step lasts at least {show_seconds(spec.hold)}"
    if not had and spec.no_traffic == "continue":
        return ""
    if not had:
        return "no request has come to it, and a step needs some (no_traffic: continue would go on without)"
    if had < spec.least_requests:
        return f"the step needs {spec.least_requests} requests to it"
    return "" if comparison.verdict is Verdict.BETTER_OR_EQUAL else comparison.brief


def _doubt(comparison: Comparison | None) -> str:
    return comparison.brief if comparison is not None and comparison.doubtful else ""


def next_percent(state: State, look: Look) -> float:
    match look.spec.promotes:
        case "canary":
            return next((step for step in look.spec.steps if step > state.percent), FULL)
        case "rolling" if state.target is not None:
            return FULL * min(1.0, look.ready.get(state.target, 0.0))
        case _:
            return FULL

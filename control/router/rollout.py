"""How traffic moves from the stable release to the one that is wanted. Pure and total.

Rules in their order, each of which may move the state once; a decision applies the first that does until none does, so
that deciding again on the same look changes nothing. All that is known between two looks is in the state: whoever
reads it again goes on where it stood, and a state that was never stored was never acted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from control.router.analysis import LEAST_STABLE, Comparison, Figures, Verdict, compare
from control.router.rollout_state import (
    FULL,
    TRANSITIONS,
    Action,
    Decision,
    Event,
    Failure,
    Look,
    Reading,
    Release,
    Stage,
    State,
)
from control.router.rollout_waits import next_percent, reason_of, waits_for
from control.router.rollout_weights import arms_of, shadows_of

Move = tuple[Event, str, State]
Rule = Callable[[State, Look, Comparison | None], Move | None]

NEW = State()
_BEYOND_STEPS = 10
"""How often a state may move in one look besides once for each step."""


def decide(state: State, look: Look) -> Decision:
    happened = []
    comparison = _compared(state, look)
    for _ in range(len(look.spec.steps) + _BEYOND_STEPS):
        move = next((move for rule in _RULES if (move := rule(state, look, comparison))), None)
        if move is None:
            break
        event, reason, state = move
        happened.append((event, reason))
        comparison = _compared(state, look)
    named = look.named.values() if look.spec.strategy == "ab" else ()
    return Decision(
        state=state,
        arms=tuple(arms_of(state, look)),
        shadows=tuple(shadows_of(state, look)),
        happened=tuple(happened),
        reason=reason_of(state, look, comparison),
        keeps=frozenset(release for release in (state.stable, state.target, *named) if release is not None),
        comparison=comparison,
    )


def replay(looks: Iterable[Look], state: State = NEW) -> Iterator[Decision]:
    """What would have been decided on recorded looks."""
    for look in looks:
        decision = decide(state, look)
        state = decision.state
        yield decision


def _compared(state: State, look: Look) -> Comparison | None:
    """The target beside the stable release since the present analysis began; None where none is wanted."""
    if state.target is None or state.stable is None or look.spec.strategy in ("rolling", "instant", "ab"):
        return None
    target = _since(state.target, state, look)
    analysis, step = look.spec.analysis, max(0, state.analyses - 1)
    match state.stage:
        case Stage.SHADOWING | Stage.STEPPING:
            return compare(target, _since(state.stable, state, look), analysis, step=step)
        case Stage.KEEPING:
            return compare(target, state.last, analysis, step=step, alone=True)
        case Stage.STEADY | Stage.PREPARING:
            return None


def _since(release: Release, state: State, look: Look) -> Figures:
    return look.readings.get(release, Reading()).since(state.before.get(release, Reading()))


def _answer(state: State, look: Look, _: Comparison | None) -> Move | None:
    """What a person asks goes first, once."""
    asked = look.request
    if asked is None or asked.number <= state.answered:
        return None
    state = replace(state, answered=asked.number)
    by = f"asked for by {asked.who}" if asked.who else "asked for by a person"
    if state.target is None:
        return _move(state, Event.REFUSED, f"nothing to {asked.action.value}: no roll-out goes on")
    match asked.action:
        case Action.ABORT:
            return _give_up(state, look, Event.ABORTED, f"abort, {by}")
        case Action.PROMOTE if not look.ready.get(state.target):
            return _move(state, Event.REFUSED, f"{state.target} cannot be promoted: none of its replicas can serve")
        case Action.PROMOTE if state.stage is Stage.KEEPING or state.stable is None:
            return _promote(state, f"promotion, {by}")
        case Action.PROMOTE:
            return _switch(replace(state, paused="", held=""), look, f"promotion, {by}")
        case Action.PAUSE if not state.paused:
            return _move(state, Event.PAUSED, f"pause, {by}", paused=f"pause, {by}")
        case Action.RESUME if state.held:
            return _measure_anew(state, look, Event.RESUMED, f"resumption, {by}", paused="", held="")
        case Action.RESUME if state.paused:
            return _move(state, Event.RESUMED, f"resumption, {by}", paused="")
        case Action.PAUSE | Action.RESUME:
            return _move(
                state, Event.REFUSED, f"nothing to {asked.action.value}: it is {'' if state.paused else 'not '}paused"
            )


def _split(state: State, look: Look, _: Comparison | None) -> Move | None:
    """An A/B test has no target; its largest arm is the stable one as soon as all of them can serve."""
    if look.spec.strategy != "ab":
        return None
    listed = ", ".join(f"{arm.name} {arm.percent:g} %" for arm in look.spec.arms)
    if state.target is not None:
        reason = f"an A/B test of {listed} takes the place of the roll-out"
        return _move(state, Event.SPLIT, reason, **_nothing_coming())
    largest = look.named.get(max(look.spec.arms, key=lambda arm: arm.percent).name)
    all_ready = all(look.ready.get(look.named[arm.name]) if arm.name in look.named else False for arm in look.spec.arms)
    if largest is None or largest == state.stable or not all_ready or state.why_failed(largest, look.digest):
        return None
    return _move(state, Event.SPLIT, f"split into {listed}", stable=largest)


def _aim(state: State, look: Look, _: Comparison | None) -> Move | None:
    """The target is what is wanted, unless that is stable already or has failed."""
    wanted = look.wanted
    if look.spec.strategy == "ab" or wanted == state.target:
        return None
    new = wanted is not None and wanted != state.stable and not state.why_failed(wanted, look.digest)
    if not new and state.target is None:
        return None
    if not new:
        instead = f"{state.stable} is wanted" if wanted == state.stable else "no version that can be had is wanted"
        return _move(state, Event.WITHDRAWN, f"{state.target} is not wanted any more: {instead}", **_nothing_coming())
    event, reason = Event.BEGUN, f"{wanted} is wanted in place of {state.stable or 'nothing'}"
    if state.target is not None:
        event = Event.SUPERSEDED
        reason = f"{wanted} is wanted instead of {state.target}: it begins at {state.stable or 'nothing'} again"
    changes = _nothing_coming() | {
        "target": wanted,
        "since": look.now,
        "before": {} if state.stable is None else {state.stable: look.readings.get(state.stable, Reading())},
        "failures": tuple(failure for failure in state.failures if failure.spec == look.digest),
    }
    return _move(state, event, reason, **changes)


def _judge(state: State, look: Look, comparison: Comparison | None) -> Move | None:
    """What is worse goes back, or stays where it is until a person says; a pause does not protect it."""
    if comparison is None or comparison.verdict is not Verdict.WORSE or state.held:
        return None
    if look.spec.analysis.on_failure == "hold":
        return _move(state, Event.HELD, comparison.reason, held=comparison.reason)
    return _give_up(state, look, Event.ROLLED_BACK, comparison.reason)


def _advance(state: State, look: Look, comparison: Comparison | None) -> Move | None:
    if state.target is None or waits_for(state, look, comparison):
        return None
    if state.stable is None:
        return _promote(state, f"{state.target} is the first: there is nothing to compare it with")
    why = comparison.reason if comparison else f"{state.target} can serve"
    if state.stage is Stage.KEEPING:
        return _promote(state, why)
    if state.stage is Stage.PREPARING and look.spec.mirrored:
        reason = f"{100 * look.spec.mirrored:g} % of the requests are copied to {state.target}"
        return _measure_anew(state, look, Event.MIRRORED, reason)
    percent = next_percent(state, look)
    if percent >= FULL:
        return _switch(state, look, why)
    reason = f"{state.target} takes {percent:g} %: {why}"
    return _measure_anew(state, look, Event.STEPPED, reason, percent=percent)


_RULES: tuple[Rule, ...] = (_answer, _split, _aim, _judge, _advance)


def _move(state: State, event: Event, reason: str, **changes: Any) -> Move:
    return event, reason, replace(state, stage=TRANSITIONS[state.stage, event], **changes)


def _measure_anew(state: State, look: Look, event: Event, reason: str, **changes: Any) -> Move:
    """Into a step whose figures begin now."""
    before = {release: look.readings.get(release, Reading()) for release in (state.stable, state.target) if release}
    return _move(state, event, reason, since=look.now, analyses=state.analyses + 1, before=before, **changes)


def _switch(state: State, look: Look, why: str) -> Move:
    last = Figures()
    if state.stable is not None:
        lately = _since(state.stable, state, look)
        known = lately.traffic.requests >= LEAST_STABLE
        last = lately if known else look.readings.get(state.stable, Reading()).since(Reading())
    reason = f"{state.target} takes all traffic: {why}"
    return _measure_anew(state, look, Event.SWITCHED, reason, percent=FULL, last=last)


def _promote(state: State, why: str) -> Move:
    changes = _nothing_coming() | {"stable": state.target}
    return _move(state, Event.PROMOTED, f"{state.target} is stable: {why}", **changes)


def _give_up(state: State, look: Look, event: Event, reason: str) -> Move:
    changes = _nothing_coming()
    if state.target is not None:
        changes["failures"] = (*state.failures, Failure(state.target, reason, look.digest))
    return _move(state, event, f"{state.target} goes back to {state.stable or 'nothing'}: {reason}", **changes)


def _nothing_coming() -> dict[str, Any]:
    fields = ("target", "percent", "since", "analyses", "before", "last", "paused", "held")
    return {name: getattr(NEW, name) for name in fields}

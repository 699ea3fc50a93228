"""How many replicas a deployment should have. Pure and total.

Rules in their order, of which at most one changes the number in a look; deciding again on the same look changes
nothing. Figures that lack (the store is away, all replicas are new) change nothing either. The bounds of an increase
and the stabilisation of a decrease (the most that was needed over the time) follow Kubernetes' HorizontalPodAutoscaler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from control.router.autoscale_load import Need, live, measured, needs, saturated
from control.router.autoscale_state import Scale, ScaleLook
from control.specs.quantity import show_seconds

LOWER = 0.9
"""Of its target each figure may reach at most on the replicas that a decrease leaves."""
SETTLE_SECONDS = 20.0
"""How long all replicas have to serve until a queue without a known flow counts again: it drains first."""
_EXACT = 1e-9

Rule = Callable[[Scale, ScaleLook], Scale | None]


def scale(before: Scale, look: ScaleLook) -> Scale:
    """The number of replicas from now on."""
    now = _observed(before, look)
    moved = _bounds(now, look)
    if moved is None and before.since != look.now:
        moved = next((moved for rule in _RULES if (moved := rule(now, look))), None)
    return now if moved is None else _observed(moved, look)


def _bounds(now: Scale, look: ScaleLook) -> Scale | None:
    spec = look.spec
    needed = min(max(now.needed, spec.min), spec.max)
    spares = look.sla.spares if needed else 0
    if (needed, spares) == (now.needed, now.spares):
        return None
    most = f"{spec.min} to {spec.max} replicas"
    return _to(now, look, needed, f"{most} and {look.sla.spares} spare are wanted" if spares else f"{most} are wanted")


def _wake(now: Scale, look: ScaleLook) -> Scale | None:
    if now.needed or look.wake_asked is None or not _fresh(now, look, look.wake_asked):
        return None
    return _to(now, look, 1, "a request waits for the model to wake up")


def _fresh(now: Scale, look: ScaleLook, asked: float) -> bool:
    """Whether the model was asked for since it fell asleep, and whoever asked may still be waiting."""
    return (now.since is None or asked > now.since) and look.now - asked <= look.spec.wake


def _sleep(now: Scale, look: ScaleLook) -> Scale | None:
    if not look.spec.sleeps or not now.needed or not _lasts(now.idle, look, look.spec.idle):
        return None
    return _to(now, look, 0, f"no request for {show_seconds(look.spec.idle)}")


def _up(now: Scale, look: ScaleLook) -> Scale | None:
    if not _lasts(now.pressed, look, look.spec.up_after) or not (pressure := _pressure(now, look)):
        return None
    wanted = min(ceil(pressure.replicas - _EXACT), 2 * now.needed, look.spec.max)
    return _to(now, look, wanted, pressure.why)


def _down(now: Scale, look: ScaleLook) -> Scale | None:
    if not _lasts(now.quiet, look, look.spec.down_after):
        return None
    return _to(now, look, now.peak, f"no more was needed for {show_seconds(look.spec.down_after)}")


_RULES: tuple[Rule, ...] = (_wake, _sleep, _up, _down)


def _to(now: Scale, look: ScaleLook, needed: int, why: str) -> Scale:
    """Another number, from which the load is watched anew."""
    spares = look.sla.spares if needed else 0
    reason = f"{now.replicas} → {needed + spares}: {why}"
    later = replace(now, needed=needed, spares=spares, since=look.now, why=reason)
    return replace(later, pressed=None, quiet=None, peak=0, full=None)


def _observed(now: Scale, look: ScaleLook) -> Scale:
    """With what this look says of the load."""
    known = look.serving > 0 and len(live(look)) >= look.serving
    full = look.serving >= now.replicas
    now = replace(measured(now, look), full=_from(now.full, look, full), refusal="" if full else look.refusal)
    least = _least(now, look) if known and now.needed else now.needed
    quiet = _from(now.quiet, look, least < now.needed)
    return replace(
        now,
        pressed=_from(now.pressed, look, _pressure(now, look) is not None),
        quiet=quiet,
        peak=0 if quiet is None else max(least, now.peak),
        idle=_from(now.idle, look, now.needed > 0 and _is_idle(look)),
    )


def _pressure(now: Scale, look: ScaleLook) -> Need | None:
    """The figure that needs most, if that is more than what is wanted already, loading or not, and may be had."""
    if not live(look) or not 0 < now.needed < look.spec.max or now.refusal:
        return None
    pressing = [need for need in needs(look) if need.replicas > now.needed + _EXACT]
    counted = [counts for need in pressing if (counts := _counts(need, now, look)) is not None]
    most = max(counted, key=lambda need: need.replicas, default=None)
    return most if most and most.replicas > now.needed + _EXACT else None


def _counts(need: Need, now: Scale, look: ScaleLook) -> Need | None:
    """What piles up counts by the flow; where that is not known, once all replicas serve and have settled, and for one
    more replica only while no more than a few of them have a queue."""
    if not need.piles:
        return need
    if now.flow is not None:
        return replace(need, replicas=now.flow, why=f"{need.why}; {now.flow:g} replicas would keep up")
    if not _lasts(now.full, look, SETTLE_SECONDS):
        return None
    return need if saturated(look) else replace(need, replicas=min(need.replicas, now.needed + 1))


def _least(now: Scale, look: ScaleLook) -> int:
    """The fewest replicas on which every figure would stay well below its target."""
    most = max(now.flow or 0.0, *(need.replicas for need in needs(look)))
    return min(now.needed, max(ceil(most / LOWER - _EXACT), look.spec.min, 1))


def _is_idle(look: ScaleLook) -> bool:
    """Nothing came, nothing is asked for and nothing is in flight, as far as can be told of every replica."""
    asked = look.wake_asked is not None and look.now - look.wake_asked <= look.spec.idle
    told = len(live(look)) >= look.serving and not any(report.busy for report in look.reports)
    return told and not asked and not look.recent.requests


def _from(began: float | None, look: ScaleLook, holds: bool) -> float | None:
    """Since when it holds, whichever way the clock went."""
    if not holds:
        return None
    return look.now if began is None else min(began, look.now)


def _lasts(began: float | None, look: ScaleLook, seconds: float) -> bool:
    return began is not None and look.now - began >= seconds

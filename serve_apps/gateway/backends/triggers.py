"""When a trigger keeps a backend's requests away, and when it lets them back. Pure: the time comes in."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from control.specs.trigger import Trigger
from serve_apps.gateway.backends.window import Reading

LEAST_SAMPLE = 20
"""Requests in a window, of fewer of which a measurement says nothing: one failure of 19 would be more than 5 %."""
EASED = 0.8
"""What is better than this part of the limit is clearly better: a measurement that lies on the limit would send all
requests there and back at every look."""
DWELL_SECONDS = 10.0
"""How long it must be clearly better. Two slots of the window: one good slot is chance. Nothing comes back sooner."""
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Stand:
    """How a trigger stands at a backend: whether it `fired`, since when what it measures is clearly better, and why it
    is as it is, in words for a header; empty where it did not fire.
    """

    fired: bool = False
    better_since: float | None = None
    why: str = ""


QUIET = Stand()


def judge(trigger: Trigger, before: Stand, reading: Reading, status: str, now: float) -> Stand:
    """How `trigger` stands at `now`, in seconds, after it stood as `before`. `reading` is over its window; `status` is
    one of control.specs.trigger.STATUSES.

    It fires as soon as its condition holds. Then it stays fired until what it measures was clearly better for
    `DWELL_SECONDS`; too small a sample counts as that, because a backend that nobody asks has none.
    """
    if trigger.metric == "provider_status":
        holds = COMPARE[trigger.operator](status, trigger.value)
        better, seen = not holds, f"provider_status {status}"
        limit, over = f"{trigger.operator} {trigger.value}", ""
    else:
        value, sample = reading.measure(trigger.metric)
        over = f" over {trigger.window_s:g} s, {sample} requests"
        limit = f"{trigger.operator} {_shown(trigger.metric, float(trigger.value))}"
        if value is None or sample < LEAST_SAMPLE:
            holds, better, seen = False, True, f"{trigger.metric} of too few to tell"
        else:
            holds = COMPARE[trigger.operator](value, trigger.value)
            better, seen = not holds and _eased(trigger, value), f"{trigger.metric} {_shown(trigger.metric, value)}"
    if holds:
        return Stand(True, None, f"{seen} {limit}{over}")
    if not before.fired:
        return QUIET
    since = (now if before.better_since is None else before.better_since) if better else None
    if since is not None and now - since >= DWELL_SECONDS:
        return QUIET
    wanted = f"for {DWELL_SECONDS:g} s" if since is not None else "clearly"
    return Stand(True, since, f"{seen}{over}, was {limit} and is not better {wanted} yet")


def _eased(trigger: Trigger, value: float) -> bool:
    limit = float(trigger.value)
    if trigger.operator in (">", ">="):
        return value <= EASED * limit
    most = 1.0 if trigger.metric == "error_rate" else limit / EASED
    return value >= min(limit / EASED, most)


def _shown(metric: str, value: float) -> str:
    return f"{value:.3g}" if metric == "error_rate" else f"{1000 * value:.0f} ms"

"""When the gateway leaves a provider: `error_rate > 0.05`, `latency_p99 > 5000ms over 30s` and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from control.specs.problem import nearest, one_of, refuse, show

METRICS = ("error_rate", "latency_p50", "latency_p95", "latency_p99", "provider_status")
STATUSES = ("healthy", "degraded", "unhealthy")
SLOT_SECONDS = 5.0
"""A measurement is over some slots of this length: what a gateway's replica holds is bounded, whatever its traffic."""
WINDOW_SECONDS = 60.0
"""What a measurement is over that does not say, and the longest it can be over. A minute holds enough requests to tell
5 % of errors from chance at one request in three seconds, and forgets an outage soon after it is over."""
_FORM = re.compile(r"\s*([A-Za-z0-9_]+)\s*(==|!=|>=|<=|>|<)\s*(\S+)(?:\s+over\s+(\S+))?\s*")
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_SECONDS = {"ms": 0.001, "s": 1.0}


@dataclass(frozen=True)
class Trigger:
    """`metric` `operator` `value` over the last `window_s` seconds; `text` is the condition as it was written.

    `value` is a fraction from 0 to 1 for error_rate, seconds for latency_*, a status for provider_status, which is of
    the moment and has no window.
    """

    text: str
    metric: str
    operator: str
    value: float | str
    window_s: float = WINDOW_SECONDS


def parse_trigger(value: object) -> Trigger:
    """Raises PydanticCustomError (a ValueError) that names the trigger and the part that does not parse."""
    if isinstance(value, Trigger):
        return value
    found = f"trigger {show(value)} does not parse"
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise refuse(found, "a condition such as error_rate > 0.05")
    metric, operator, right, over = match.groups()
    if metric not in METRICS:
        near = nearest(metric, METRICS)
        raise refuse(f"{found}: unknown metric '{metric}'", one_of(METRICS), nearest=near)
    if metric == "provider_status":
        if operator not in ("==", "!="):
            raise refuse(f"{found}: '{operator}' cannot compare a status", "== or !=")
        if right not in STATUSES:
            near = nearest(right, STATUSES)
            raise refuse(f"{found}: unknown status '{right}'", one_of(STATUSES), nearest=near)
        if over is not None:
            raise refuse(f"{found}: a status is of the moment, not over '{over}'", f"{metric} {operator} {right}")
        return Trigger(value, metric, operator, right)
    if operator in ("==", "!="):
        raise refuse(f"{found}: '{operator}' cannot compare a measurement", ">, >=, < or <=")
    window_s = WINDOW_SECONDS if over is None else _seconds(over)
    if window_s is None or not SLOT_SECONDS <= window_s <= WINDOW_SECONDS or window_s % SLOT_SECONDS:
        steps = f"{SLOT_SECONDS:g}s to {WINDOW_SECONDS:g}s in steps of {SLOT_SECONDS:g}s"
        raise refuse(f"{found}: '{over}' is nothing to measure over", steps)
    if metric == "error_rate":
        if not re.fullmatch(_NUMBER, right) or float(right) > 1:
            raise refuse(f"{found}: '{right}' is no error rate", "a fraction from 0 to 1")
        return Trigger(value, metric, operator, float(right), window_s)
    seconds = _seconds(right)
    if seconds is None:
        raise refuse(f"{found}: '{right}' is no duration", "a number with ms or s, such as 5000ms")
    return Trigger(value, metric, operator, seconds, window_s)


def _seconds(text: str) -> float | None:
    duration = re.fullmatch(f"({_NUMBER})(ms|s)", text)
    return float(duration[1]) * _SECONDS[duration[2]] if duration else None


def _written(trigger: Trigger) -> str:
    return trigger.text


TriggerText = Annotated[Trigger, PlainValidator(parse_trigger), PlainSerializer(_written)]

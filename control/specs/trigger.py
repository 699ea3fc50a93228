"""When the gateway leaves a provider: `error_rate > 0.05`, `latency_p99 > 5000ms` and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from control.specs.problem import nearest, one_of, refuse, show

METRICS = ("error_rate", "latency_p50", "latency_p95", "latency_p99", "provider_status")
STATUSES = ("healthy", "degraded", "unhealthy")
_FORM = re.compile(r"\s*([A-Za-z0-9_]+)\s*(==|!=|>=|<=|>|<)\s*(\S+)\s*")
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_SECONDS = {"ms": 0.001, "s": 1.0}


@dataclass(frozen=True)
class Trigger:
    """`metric` `operator` `value`; `text` is the condition as it was written.

    `value` is a fraction from 0 to 1 for error_rate, seconds for latency_*, a status for provider_status.
    """

    text: str
    metric: str
    operator: str
    value: float | str


def parse_trigger(value: object) -> Trigger:
    """Raises PydanticCustomError (a ValueError) that names the trigger and the part that does not parse."""
    if isinstance(value, Trigger):
        return value
    found = f"trigger {show(value)} does not parse"
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise refuse(found, "a condition such as error_rate > 0.05")
    metric, operator, right = match.groups()
    if metric not in METRICS:
        near = nearest(metric, METRICS)
        raise refuse(f"{found}: unknown metric '{metric}'", one_of(METRICS), nearest=near)
    if metric == "provider_status":
        if operator not in ("==", "!="):
            raise refuse(f"{found}: '{operator}' cannot compare a status", "== or !=")
        if right not in STATUSES:
            near = nearest(right, STATUSES)
            raise refuse(f"{found}: unknown status '{right}'", one_of(STATUSES), nearest=near)
        return Trigger(value, metric, operator, right)
    if operator in ("==", "!="):
        raise refuse(f"{found}: '{operator}' cannot compare a measurement", ">, >=, < or <=")
    if metric == "error_rate":
        if not re.fullmatch(_NUMBER, right) or float(right) > 1:
            raise refuse(f"{found}: '{right}' is no error rate", "a fraction from 0 to 1")
        return Trigger(value, metric, operator, float(right))
    duration = re.fullmatch(f"({_NUMBER})(ms|s)", right)
    if duration is None:
        raise refuse(f"{found}: '{right}' is no duration", "a number with ms or s, such as 5000ms")
    return Trigger(value, metric, operator, float(duration[1]) * _SECONDS[duration[2]])


def _written(trigger: Trigger) -> str:
    return trigger.text


TriggerText = Annotated[Trigger, PlainValidator(parse_trigger), PlainSerializer(_written)]

"""Which objectives of the deployments' SLAs are missed. Pure.

A histogram knows a value to within a tenth: only what surely lies above an objective counts as above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from control.specs.sla import Sla
from control.traffic import RATIO, Histogram, Traffic, quantile

LEAST_REQUESTS = 10
"""Of fewer recent requests nothing is said."""
LEAST_MISSES = 5
"""So many values have to lie above an objective, whatever their share is."""
_TIMES = (
    ("ttft_ms", "time to first token", 0.95),
    ("itl_ms", "time between tokens", 0.99),
    ("latency_p99_ms", "time of whole answers", 0.99),
)
"""Objective, in words, and which quantile it is of."""


@dataclass(frozen=True)
class Watched:
    """A deployment, what ended lately of its requests on all gateways, and how busy its devices are (0 to 1, None
    where nobody knows). `fewest`: it runs as few replicas as it may, so that its devices cannot be fewer."""

    deployment: str
    sla: Sla
    recent: Traffic
    utilization: float | None = None
    fewest: bool = False


@dataclass(frozen=True)
class Alert:
    """An objective (the field of the SLA) that is missed since `since`; times in milliseconds, utilization 0 to 1."""

    deployment: str
    objective: str
    found: float
    wanted: float
    since: float
    message: str


def alerts(watched: Iterable[Watched], now: float, before: Iterable[Alert] = ()) -> tuple[Alert, ...]:
    """By deployment and objective; those of `before` that are missed still keep since when."""
    began = {(alert.deployment, alert.objective): alert.since for alert in before}
    return tuple(
        Alert(one.deployment, objective, found, wanted, began.get((one.deployment, objective), now), message)
        for one in watched
        if one.recent.requests >= LEAST_REQUESTS
        for objective, found, wanted, message in (*_slow(one), *_idle(one))
    )


def _slow(one: Watched) -> Iterator[tuple[str, float, float, str]]:
    histograms = (one.recent.ttft_ms, one.recent.itl_ms, one.recent.latency_ms)
    for (objective, words, q), histogram in zip(_TIMES, histograms, strict=True):
        wanted: float | None = getattr(one.sla, objective)
        found = quantile(histogram, q)
        if wanted is None or found is None or not _missed(histogram, q, wanted):
            continue
        message = (
            f"the p{100 * q:.0f} of the {words} of {one.deployment} is {found:.0f} ms; at most {wanted:g} ms wanted"
        )
        yield objective, found, wanted, message


def _missed(histogram: Histogram, q: float, wanted: float) -> bool:
    above = sum(count for index, count in histogram.items() if RATIO**index >= wanted)
    return above >= LEAST_MISSES and above > (1 - q) * sum(histogram.values())


def _idle(one: Watched) -> Iterator[tuple[str, float, float, str]]:
    found, wanted = one.utilization, one.sla.utilization
    if found is not None and wanted is not None and found < wanted and not one.fewest:
        are = f"the devices of {one.deployment} are {100 * found:.0f} % busy"
        yield "utilization", found, wanted, f"{are}; at least {100 * wanted:g} % wanted: fewer replicas would do"

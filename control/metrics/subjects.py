"""What the metrics are about: applications, the busiest by name and the others as one, devices, actors. Pure.

An application has about 100 series of its own and 65 for each gateway replica. No more than `MOST_APPS` are told apart,
whatever the number of replicas; the rest are added up under the application "other". One that moves between the two
makes a counter of "other" jump, which no rate or alert should be made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import fmean
from typing import Any

from control.engine_report import HISTOGRAMS, EngineReport
from control.kernel.ids import AppName
from control.metrics.histogram import middle_ms, together
from control.metrics.reading import Reading
from control.traffic import Histogram, Traffic

MOST_APPS = 64
APP = ("model", "version", "replica", "app")
OTHER = ("other", "", "", "other")
_SUMMED = (
    "running",
    "waiting",
    "kv_tokens",
    "most_running",
    "requests",
    "prompt_tokens",
    "generated_tokens",
    "prefix_queries",
    "prefix_hits",
    "preemptions",
)
_OBSERVED = {"ttft": "ttft_ms", "itl": "itl_ms", "latency": "latency_ms"}
"""The histogram that each objective is about."""

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Replica:
    """An engine; `utilisation` is the mean of its devices that are measured, which is not told of several together."""

    report: EngineReport
    utilisation: float | None


def app_labels(app: str) -> Labels:
    """The values of `APP`; of an application that is not ours only its name is known."""
    name = AppName.parse(app)
    return (app, "", "", app) if name is None else (name.deployment, str(name.version), name.engine, app)


def named(reading: Reading) -> frozenset[str]:
    """The applications that are told apart: those with an engine first, and then by their requests."""
    requests = {app: engine.report.requests for app, engine in reading.engines.items()}
    for gateway in reading.gateways.values():
        for app, traffic in gateway.apps.items():
            requests[app] = requests.get(app, 0) + traffic.requests
    order = sorted(requests, key=lambda app: (app not in reading.engines, -requests[app], app))
    return frozenset(order[:MOST_APPS])


def traffic(reading: Reading) -> Iterator[tuple[Labels, Traffic]]:
    """By application and gateway replica: what each replica counts never falls while it lives, sums over them do."""
    chosen = named(reading)
    for gateway_id, gateway in reading.gateways.items():
        for app, one in gateway.apps.items():
            if app in chosen:
                yield (*app_labels(app), gateway_id), one
        if rest := [one for app, one in gateway.apps.items() if app not in chosen]:
            yield (*OTHER, gateway_id), reduce(add, rest)


def exceeded(reading: Reading) -> Iterator[tuple[Labels, int]]:
    """By application, gateway replica and objective: how many times lay above it, to within a bucket's tenth."""
    objectives = {one.name: one.objectives_ms for one in reading.deployments}
    for labels, one in traffic(reading):
        for about, most_ms in objectives.get(labels[0], {}).items():
            yield (*labels, about), _above(getattr(one, _OBSERVED[about]), most_ms)


def engines(reading: Reading) -> Iterator[tuple[Labels, Replica]]:
    chosen = named(reading)
    for app, engine in reading.engines.items():
        if app in chosen:
            yield app_labels(app), Replica(engine.report, utilisation(reading, app))
    if rest := [engine.report for app, engine in reading.engines.items() if app not in chosen]:
        yield OTHER, Replica(_together(rest), None)


def silent(reading: Reading) -> Iterator[tuple[Labels, float]]:
    """By application, for how many seconds it has said nothing: the longest first where there are too many."""
    seconds = {app: math.inf if one is None else one for app, one in reading.silent.items()}
    for app in sorted(seconds, key=lambda app: (-seconds[app], app))[:MOST_APPS]:
        yield app_labels(app), seconds[app]


def starts(reading: Reading) -> Iterator[tuple[Labels, float]]:
    """By application and part of its start, in seconds."""
    chosen = named(reading)
    for app, engine in reading.engines.items():
        if app in chosen:
            for part, seconds in engine.report.started_s.items():
                yield (*app_labels(app), part), float(seconds)


def utilisation(reading: Reading, app: str) -> float | None:
    """The mean over the devices of the application's lease that are measured, 0 to 1; None where none is."""
    name = AppName.parse(app)
    held = reading.holders.get(name.workload, frozenset()) if name else frozenset[str]()
    loads = [reading.devices[uuid].load for uuid in sorted(held) if uuid in reading.devices]
    measured = [load.utilisation for load in loads if load is not None and load.utilisation is not None]
    return fmean(measured) if measured else None


def _above(histogram: Histogram, ms: float) -> int:
    return sum(count for index, count in histogram.items() if middle_ms(index) > ms)


def _together(reports: Iterable[EngineReport]) -> EngineReport:
    reports = tuple(reports)
    tokens = sum(report.kv_tokens for report in reports)
    used = sum(report.kv_usage * report.kv_tokens for report in reports)
    figures: dict[str, Any] = {name: sum(getattr(report, name) for report in reports) for name in _SUMMED}
    figures |= {name: together([getattr(report, name) for report in reports]) for name in HISTOGRAMS}
    accepts = all(report.accepts for report in reports)
    return EngineReport("", accepts=accepts, kv_usage=used / tokens if tokens else 0.0, **figures)

"""What went on between two looks at the plane, by deployment and replica: what `biplane top` shows. Pure.

Gateways and engines write in their own time, so each one's rate is taken over the time between its own two writings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

from control.engine_report import STALE_SECONDS, EngineReport
from control.kernel.ids import AppName
from control.metrics.reading import Engine, Reading
from control.metrics.subjects import utilisation
from control.traffic import Traffic, quantile


@dataclass(frozen=True)
class Figures:
    """Rates per second, times in milliseconds, parts from 0 to 1. None: nothing came in this time, or nobody says."""

    requests: float = 0.0
    errors: float = 0.0
    tokens: float = 0.0
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    itl_p50: float | None = None
    itl_p99: float | None = None
    latency_p99: float | None = None
    running: int = 0
    waiting: int = 0
    kv_usage: float | None = None
    prefix_hits: float | None = None
    gpu: float | None = None


@dataclass(frozen=True)
class ReplicaRow:
    """An application. `simulated` when all of its devices are; `phase` says in a word how it is."""

    app: str
    version: str
    replica: str
    phase: str
    simulated: bool
    figures: Figures


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment, with the figures of all its replicas together."""

    name: str
    phase: str
    wanted: int
    serving: int
    simulated: bool
    figures: Figures
    replicas: tuple[ReplicaRow, ...]


@dataclass(frozen=True)
class _Came:
    """What one application did between the looks: its traffic and that per second, its tokens, its engine now."""

    traffic: Traffic
    requests: float
    errors: float
    tokens: float
    looked_up: int
    found: int
    engine: EngineReport | None
    gpu: float | None


def rows(before: Reading, after: Reading) -> tuple[DeploymentRow, ...]:
    """Every deployment by name, also one that nothing runs of; what runs of none that is wanted stands there too."""
    deployments = {one.name: one for one in after.deployments}
    apps: dict[str, list[AppName]] = {name: [] for name in deployments}
    for app in map(AppName.parse, _seen(before, after)):
        if app is not None:
            apps.setdefault(app.deployment, []).append(app)
    found = []
    for name, members in sorted(apps.items()):
        came = {app: _came(str(app), before, after) for app in sorted(members, key=_order)}
        known = deployments.get(name)
        found.append(
            DeploymentRow(
                name=name,
                phase=known.phase if known else "Deleted",
                wanted=known.wanted if known else 0,
                serving=known.serving if known else 0,
                simulated=_simulated(came, after),
                figures=_figures([one for app, one in came.items() if not app.reads]),
                replicas=tuple(
                    ReplicaRow(
                        app=str(app),
                        version=str(app.version),
                        replica=app.engine,
                        phase=_phase(after.engines.get(str(app)), after.at),
                        simulated=_simulated((app,), after),
                        figures=_figures((one,)),
                    )
                    for app, one in came.items()
                ),
            )
        )
    return tuple(found)


def _seen(before: Reading, after: Reading) -> set[str]:
    """The applications with an engine that lives, those that should take traffic, and those that had some."""
    living = {app for app, engine in after.engines.items() if after.at - engine.at <= STALE_SECONDS}
    counted = {app for gateway in after.gateways.values() for app in gateway.apps}
    return living | set(after.silent) | {app for app in counted if _traffic(app, before, after)[0].requests}


def _order(app: AppName) -> tuple[int, int, str]:
    return app.version, app.replica, str(app)


def _came(app: str, before: Reading, after: Reading) -> _Came:
    traffic, requests, errors = _traffic(app, before, after)
    now, was = after.engines.get(app), before.engines.get(app)
    tokens = looked_up = found = 0
    if now is not None and was is not None:
        # A replica that began anew counts from zero: then all of it came since.
        past = EngineReport("") if now.report.generated_tokens < was.report.generated_tokens else was.report
        tokens = now.report.generated_tokens - past.generated_tokens
        looked_up = now.report.prefix_queries - past.prefix_queries
        found = now.report.prefix_hits - past.prefix_hits
    return _Came(
        traffic=traffic,
        requests=requests,
        errors=errors,
        tokens=tokens / (now.at - was.at) if now and was and now.at > was.at else 0.0,
        looked_up=looked_up,
        found=found,
        engine=now.report if now else None,
        gpu=utilisation(after, app),
    )


def _traffic(app: str, before: Reading, after: Reading) -> tuple[Traffic, float, float]:
    """What all gateway replicas saw, and its requests and errors per second.

    Of one that was not there before it is not known over which time it counted.
    """
    came, requests, errors = Traffic(), 0.0, 0.0
    for name, gateway in after.gateways.items():
        was = before.gateways.get(name)
        if was is not None and app in gateway.apps and gateway.at > was.at:
            new = gateway.apps[app] - was.apps.get(app, Traffic())
            came += new
            requests += new.requests / (gateway.at - was.at)
            errors += new.errors / (gateway.at - was.at)
    return came, requests, errors


def _figures(came: Iterable[_Came]) -> Figures:
    came = tuple(came)
    traffic = reduce(add, (one.traffic for one in came), Traffic())
    engines = [one.engine for one in came if one.engine is not None]
    measured = [one.gpu for one in came if one.gpu is not None]
    tokens, looked_up = sum(engine.kv_tokens for engine in engines), sum(one.looked_up for one in came)
    return Figures(
        requests=sum(one.requests for one in came),
        errors=sum(one.errors for one in came),
        tokens=sum(one.tokens for one in came),
        ttft_p50=quantile(traffic.ttft_ms, 0.5),
        ttft_p99=quantile(traffic.ttft_ms, 0.99),
        itl_p50=quantile(traffic.itl_ms, 0.5),
        itl_p99=quantile(traffic.itl_ms, 0.99),
        latency_p99=quantile(traffic.latency_ms, 0.99),
        running=sum(engine.running for engine in engines),
        waiting=sum(engine.waiting for engine in engines),
        kv_usage=sum(engine.kv_usage * engine.kv_tokens for engine in engines) / tokens if tokens else None,
        prefix_hits=sum(one.found for one in came) / looked_up if looked_up else None,
        gpu=sum(measured) / len(measured) if measured else None,
    )


def _phase(engine: Engine | None, now: float) -> str:
    if engine is None:
        return "no report"
    if engine.report.trouble:
        return engine.report.trouble
    if now - engine.at > STALE_SECONDS:
        return "silent"
    return "serves" if engine.report.accepts else "drains"


def _simulated(apps: Iterable[AppName], reading: Reading) -> bool:
    held = {uuid for app in apps for uuid in reading.holders.get(app.workload, ())}
    devices = [reading.devices[uuid] for uuid in held if uuid in reading.devices]
    return bool(devices) and all(device.simulated for device in devices)

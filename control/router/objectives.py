"""Which objectives of its SLA a deployment misses, since when, and the events of that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from control.alerts import Alert, Watched, alerts
from control.kernel.plan import Note
from control.router.fleet import Fleet
from control.router.state import Deployment, Snapshot


def missed(deployment: Deployment, fleets: Iterable[Fleet], snapshot: Snapshot) -> tuple[Alert, ...]:
    """By what all its replicas did lately."""
    recent = snapshot.lately(str(app) for fleet in fleets for app in fleet.able)
    return alerts((Watched(deployment.name, deployment.sla, recent),), snapshot.now, _before(deployment))


def told(found: Iterable[Alert]) -> list[dict[str, Any]]:
    """As JSON."""
    return [asdict(alert) for alert in found]


def lasting(stored: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which objectives are missed, without the figures."""
    return [alert["objective"] for alert in stored]


def notes(deployment: Deployment, found: Iterable[Alert]) -> Iterator[Note]:
    """What of it is new."""
    before = {alert.objective: alert for alert in _before(deployment)}
    now = {alert.objective: alert for alert in found}
    for objective, alert in now.items():
        if objective not in before:
            yield Note(kind="Deployment", name=deployment.name, event="ObjectiveMissed", reason=alert.message)
    for objective in before.keys() - now.keys():
        yield Note(kind="Deployment", name=deployment.name, event="ObjectiveMet", reason=f"{objective} again")


def _before(deployment: Deployment) -> list[Alert]:
    return [Alert(**alert) for alert in deployment.status.get("missed", ())]

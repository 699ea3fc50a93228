"""What the gateway's replicas should know. Pure.

The table is published whole and versioned by its generation in the store; a replica holds the last one it read.
"""

from __future__ import annotations

from typing import Any

from control.gateway.route_table import limits_of, routes_of
from control.gateway.state import Model, Snapshot
from control.kernel.ids import CACHE_ACTOR, GATEWAY_APP, TABLE_KIND, TABLE_NAME
from control.kernel.plan import Effect, EndActor, EndApp, EnsureActor, EnsureApp, Plan, PutSpec
from control.kernel.present import AppState

BUILDER = "serve_apps.gateway.deployment:build"
CACHE = "serve_apps.gateway.cache.shared:SemanticCache"
CACHE_THREADS = 4
"""One finds equal requests while others wait for the model."""
REPLICAS = 2
"""One answers while the other is replaced, and each has a core's worth of streams: about 3,000 events a second."""


def decide(snapshot: Snapshot) -> Plan:
    table = table_of(snapshot)
    records = () if table == snapshot.table else (_publish(table),)
    return Plan(records, (*_application(snapshot), *_cache(snapshot)))


def _application(snapshot: Snapshot) -> tuple[Effect, ...]:
    """The gateway always runs: one that failed makes room for the next try."""
    match snapshot.app:
        case AppState.ABSENT:
            return (_ensure(snapshot),)
        case AppState.FAILED:
            reason = "it failed and is tried again"
            return (EndApp(kind=TABLE_KIND, name=TABLE_NAME, reason=reason, app=GATEWAY_APP),)
        case AppState.STARTING | AppState.RUNNING | AppState.SICK | AppState.ENDING:
            return ()


def _cache(snapshot: Snapshot) -> tuple[Effect, ...]:
    """It runs while a route wants it."""
    wanted = any(route.cache for gateway in snapshot.gateways for route in gateway.routes)
    told = {"kind": TABLE_KIND, "name": TABLE_NAME, "actor": CACHE_ACTOR}
    if wanted and not snapshot.caches:
        return (EnsureActor(**told, reason="a route caches", entrypoint=CACHE, threads=CACHE_THREADS),)
    if snapshot.caches and not wanted:
        return (EndActor(**told, reason="no route caches"),)
    return ()


def table_of(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "models": {
            served: _arms(model)
            for name, model in sorted(snapshot.models.items())
            if model.arms or model.wakes_s
            for served in (name, *model.adapters)
        },
        "routes": [route for gateway in snapshot.gateways for route in routes_of(gateway)],
        "replicas": REPLICAS,
        "limits": [limit for gateway in snapshot.gateways for limit in limits_of(gateway)],
    }


def _arms(model: Model) -> dict[str, Any]:
    return {
        "arms": [{**arm, "version": str(arm["version"])} for arm in model.arms],
        "shadows": [
            {"version": str(arm["version"]), "share": arm["weight"], "replicas": arm["replicas"]}
            for arm in model.shadows
        ],
        "sticky": model.sticky,
        "affinity": model.affinity,
        "wakes_s": model.wakes_s,
    }


def _publish(table: dict[str, Any]) -> PutSpec:
    models = ", ".join(table["models"]) or "no model"
    return PutSpec(
        kind=TABLE_KIND,
        name=TABLE_NAME,
        event="Published",
        reason=f"routes to {models}",
        spec=table,
    )


def _ensure(snapshot: Snapshot) -> EnsureApp:
    return EnsureApp(
        kind=TABLE_KIND,
        name=TABLE_NAME,
        reason="the gateway always runs",
        app=GATEWAY_APP,
        builder=BUILDER,
        args={**snapshot.arguments, "replicas": REPLICAS},
    )

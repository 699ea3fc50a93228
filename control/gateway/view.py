"""What gateway control observes: the deployments' arms, the routes, the table as last published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from control.gateway.state import Model, Snapshot
from control.kernel.ids import CACHE_ACTOR, GATEWAY_APP, TABLE_KIND, TABLE_NAME
from control.kernel.present import AppState, AppView, Drive
from control.kernel.store import Object, Store
from control.specs.gateway import Gateway, GatewayFile


def observe(store: Store, drive: Drive, arguments: Mapping[str, Any]) -> Snapshot:
    stored = store.list("Deployment", "Gateway", TABLE_KIND)
    tables = [o.spec for o in stored if o.kind == TABLE_KIND and o.name == TABLE_NAME]
    return Snapshot(
        models=models_of(stored),
        table=tables[0] if tables else None,
        app=drive.apps().get(GATEWAY_APP, AppView(AppState.ABSENT)).state,
        arguments=arguments,
        gateways=tuple(gateways_of(stored)),
        caches=CACHE_ACTOR in drive.actors(CACHE_ACTOR),
    )


def models_of(stored: Iterable[Object]) -> dict[str, Model]:
    return {o.name: _model(o) for o in stored if o.kind == "Deployment"}


def gateways_of(stored: Iterable[Object]) -> Iterator[Gateway]:
    """One that an older plane wrote in another form routes nothing until somebody writes it anew."""
    for one in stored:
        if one.kind == "Gateway":
            with suppress(ValidationError):
                yield GatewayFile.model_validate(one.spec).gateway


def _model(deployment: Object) -> Model:
    spec, status = deployment.spec["spec"], deployment.status
    scaling = spec.get("autoscaling") or {}
    return Model(
        arms=tuple(status.get("arms", ())),
        shadows=tuple(status.get("shadows", ())),
        sticky=spec.get("rollout", {}).get("sticky") or "",
        affinity=spec.get("affinity") or "",
        wakes_s=scaling["wake"] if scaling.get("min") == 0 else 0.0,
        adapters=tuple(adapter["name"] for adapter in spec.get("adapters", ())),
    )

"""The way in for who asks what was used and what is left: read from the store, without the ledger."""

from __future__ import annotations

import time
from contextlib import closing

from control import api_keys
from control.accounts import Counts, Usage
from control.client import Client
from control.explain import Finding
from control.explain_gateway import key_findings, route_findings
from control.gateway.budgets import Budget, budgets_of
from control.gateway.ledger.records import Records
from control.gateway.view import gateways_of
from control.kernel.ids import API_KEY_KIND
from control.metrics.reading import reading_of
from control.traffic import BEAT_PREFIX


def used(client: Client, since_s: float, now: float) -> tuple[tuple[Usage, Counts], ...]:
    """What was used from the day of UTC on that was `since_s` seconds before `now`. Raises NoPlane."""
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (now - since_s, now))
    with closing(Records(client.store_url)) as records:
        return tuple(records.used(first, last))


def budgets(client: Client, now: float) -> tuple[Budget, ...]:
    """All limits and budgets that are used, or that backends and keys have. Raises NoPlane."""
    keys = {known.name: known.key for known in api_keys.known_keys(client)}
    with closing(Records(client.store_url)) as records:
        return budgets_of(gateways_of(client.get("Gateway")), keys, records.lines(now), now)


def explained(client: Client, kind: str, name: str, now: float) -> tuple[Finding, ...]:
    """What `client.explain` says, and of a gateway document or an API key what gateways and the ledger say of it, too.
    Raises NotFound, NoPlane.
    """
    findings = client.explain(kind, name)
    if kind == "Gateway":
        reading = reading_of((), client.store.heartbeats(BEAT_PREFIX), now)
        for gateway in gateways_of(client.get(kind, name)):
            findings += tuple(route_findings(gateway, reading, budgets(client, now)))
    if kind == API_KEY_KIND:
        for known in api_keys.known_keys(client):
            if known.name == name:
                findings += tuple(key_findings(name, known.key, budgets(client, now), now))
    return findings

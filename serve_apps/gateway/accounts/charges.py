"""Which accounts a request is on, and with how much. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from control.accounts import Account, accounts_of_backend, accounts_of_key, accounts_of_member
from control.price import nano_dollars
from serve_apps.gateway.accounts.bank import Charge
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import BackendSpec, Limit, Route, Whose


class Need(NamedTuple):
    """What a request may take at the most: tokens, and nano-dollars."""

    tokens: int
    cost: int


def charge(account: Account, need: Need) -> Charge:
    units = 1 if account.what == "requests" else need.tokens if account.what == "tokens" else need.cost
    return Charge(*account, units)


def accounts_of(key: Key, limits: Iterable[Limit], gateway: str | None) -> tuple[Account, ...]:
    """The accounts of a key and its organisation for requests of a document's routes, and with None for models that are
    served here: for these the limits of every document hold.
    """
    own = key.limits
    dollars = None if own.cost_per_day is None else nano_dollars(own.cost_per_day)
    found = list(accounts_of_key(key.name, own.requests_per_minute, own.tokens_per_minute, dollars))
    for limit in limits:
        if gateway is None or limit.gateway == gateway:
            who = key.name if limit.key is Whose.API_KEY else key.organization
            most = limit.requests_per_minute, limit.tokens_per_minute, limit.cost_per_day
            found += accounts_of_member(limit.gateway, limit.key.value, who, *most)
    return tuple(found)


def accounts_at(route: Route, spec: BackendSpec) -> tuple[Account, ...]:
    """A route's accounts at one of its backends."""
    return _at(route.gateway, route.name, spec.name, spec.tokens_per_minute, spec.cost_per_day)


@lru_cache(1024)  # each request asks twice
def _at(gateway: str, route: str, backend: str, tokens: int | None, cost: int | None) -> tuple[Account, ...]:
    return tuple(accounts_of_backend(gateway, route, backend, tokens, cost))

"""Which accounts a request is on, and with how much. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from control.accounts import Window
from control.price import nano_dollars
from serve_apps.gateway.accounts.bank import Charge
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import BackendSpec, Limit, Route, Whose


class Need(NamedTuple):
    """What a request may take at the most: tokens, and nano-dollars."""

    tokens: int
    cost: int


class Account(NamedTuple):
    name: str
    window: Window
    capacity: int
    what: str

    def charge(self, need: Need) -> Charge:
        units = 1 if self.what == "requests" else need.tokens if self.what == "tokens" else need.cost
        return Charge(self.name, self.window, self.capacity, self.what, units)


def accounts_of(key: Key, limits: Iterable[Limit], gateway: str | None) -> tuple[Account, ...]:
    """The accounts of a key and its organisation for requests of a document's routes, and with None for models that are
    served here: for these the limits of every document hold.
    """
    own = key.limits
    dollars = None if own.cost_per_day is None else nano_dollars(own.cost_per_day)
    found = list(_accounts(f"key/{key.name}", own.requests_per_minute, own.tokens_per_minute, dollars))
    for limit in limits:
        if gateway is None or limit.gateway == gateway:
            who = key.name if limit.key is Whose.API_KEY else key.organization
            name = f"{limit.gateway}/{limit.key.value}/{who}"
            found += _accounts(name, limit.requests_per_minute, limit.tokens_per_minute, limit.cost_per_day)
    return tuple(found)


def accounts_at(route: Route, spec: BackendSpec) -> tuple[Account, ...]:
    """A route's accounts at one of its backends."""
    return _at(route.gateway, route.name, spec.provider, spec.model, spec.tokens_per_minute, spec.cost_per_day)


@lru_cache(1024)  # each request asks twice
def _at(
    gateway: str, route: str, provider: str, model: str, tokens: int | None, cost: int | None
) -> tuple[Account, ...]:
    return tuple(_accounts(f"{gateway}/{route}/{provider}/{model}", None, tokens, cost))


def _accounts(name: str, requests: int | None, tokens: int | None, cost: int | None) -> Iterator[Account]:
    if requests is not None:
        yield Account(f"{name}/requests", Window.MINUTE, requests, "requests")
    if tokens is not None:
        yield Account(f"{name}/tokens", Window.MINUTE, tokens, "tokens")
    if cost is not None:
        yield Account(f"{name}/cost", Window.DAY, cost, "cost")

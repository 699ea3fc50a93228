"""The root key `gateway:` (no kind): routes, prices, limits, fallback order and connections of the AI gateway."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from control.specs.base import AtLeastOne, Filled, Items, Name, Spec, given_once, named_once
from control.specs.filters import FilterSpec
from control.specs.model_price import ModelPrice
from control.specs.problem import nearest, one_of, refuse, show
from control.specs.provider import ProviderName, Secret
from control.specs.quantity import Seconds
from control.specs.trigger import TriggerText

PositiveInt = Annotated[int, Field(ge=1)]
Money = Annotated[float, Field(ge=0, le=1_000_000_000)]
"""US dollars; more than the limit would not be whole nano-dollars in the 64 bits of a store's integer."""


def _is_path(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/{}-]*", path):
        raise refuse(f"found {show(path)}", "a path such as /v1/chat/completions")
    return path


def _is_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/:]+(:[0-9]{1,5})?(/\S*)?", url):
        raise refuse(f"found {show(url)}", "an address such as http://host:8000")
    return url


class Match(Spec):
    """Which requests a route takes: those at `path`, for `model` or, without one, for any model that is not served."""

    path: Annotated[str, AfterValidator(_is_path)]
    model: Filled | None = None

    def __str__(self) -> str:
        return f"{self.path} for {self.model}" if self.model else self.path


class Backend(Spec):
    """One place a request may go. `weight` is relative to the route's total; money in US dollars, per UTC day.

    `endpoint` is the provider's address where it is not the usual one, `api_key` says where its key is.
    """

    provider: ProviderName
    model: Filled
    weight: Annotated[int, Field(ge=0, le=100)] = 100
    max_tokens_per_min: PositiveInt | None = None
    cost_budget_daily: Money | None = None
    endpoint: Annotated[str, AfterValidator(_is_url)] | None = None
    api_key: Secret | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


def _carry_traffic(backends: tuple[Backend, ...]) -> tuple[Backend, ...]:
    if sum(backend.weight for backend in backends) == 0:
        raise refuse("no backend has a weight above 0", "at least one that takes traffic")
    return backends


_LISTED_ONCE = given_once(
    lambda one: (one.provider, one.model, one.endpoint, one.api_key),
    "model",
    lambda one: f"{one.name} is listed twice",
    "every backend once, with one weight and one budget",
)


class Cache(Spec):
    """Answers of a route that are given again to the same tenant: for equal requests, and where it is `semantic` for
    questions in other words, from a cosine of `threshold` (0 to 1) on. Kept for `ttl` seconds, `max_entries` a tenant.
    """

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    ttl: Annotated[Seconds, Field(ge=1)] = 3600.0
    max_entries: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    semantic: bool = True


class Route(Spec):
    """`cache` may be empty (`cache: {}`), which is the usual one; without it nothing is cached."""

    name: Name
    match: Match
    backends: Annotated[Items[Backend], AtLeastOne, _LISTED_ONCE, AfterValidator(_carry_traffic)]
    filters: Items[FilterSpec] = ()
    cache: Cache | None = None


def _match_once(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    for index, route in enumerate(routes):
        for other in routes[:index]:
            if other.match == route.match:
                at = (index, "match", "path")
                raise refuse(f"'{route.match}' is matched by '{other.name}'", "every path and model once", at=at)
    return routes


class RateLimit(Spec):
    """What one API key, or one organization, may use. Cost in US dollars, per UTC day."""

    key: Literal["api_key", "organization"]
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    cost_per_day: Money | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> RateLimit:
        if self.requests_per_minute is None and self.tokens_per_minute is None and self.cost_per_day is None:
            raise refuse("nothing is limited", one_of(("requests_per_minute", "tokens_per_minute", "cost_per_day")))
        return self


_LIMITED_ONCE = given_once(
    lambda limit: limit.key, "key", lambda limit: f"'{limit.key}' is limited twice", "one limit for each key"
)
_PRICED_ONCE = given_once(
    lambda one: one.name, "model", lambda one: f"{one.name} has two prices", "one price for each model"
)


class Fallback(Spec):
    chain: Annotated[Items[Filled], AtLeastOne]
    triggers: Items[TriggerText] = ()


class Connections(Spec):
    pool_size: PositiveInt = 100
    timeout_ms: PositiveInt = 30000
    retry_count: Annotated[int, Field(ge=0, le=10)] = 2
    streaming: bool = True
    continuation: bool = False


class Gateway(Spec):
    name: Name
    routes: Annotated[Items[Route], AtLeastOne, named_once("route"), AfterValidator(_match_once)]
    prices: Annotated[Items[ModelPrice], _PRICED_ONCE] = ()
    rate_limits: Annotated[Items[RateLimit], _LIMITED_ONCE] = ()
    fallback: Fallback | None = None
    connections: Connections = Connections()

    @model_validator(mode="after")
    def _falls_back_to_known_providers(self) -> Gateway:
        known = {backend.provider for route in self.routes for backend in route.backends}
        for index, provider in enumerate(self.fallback.chain if self.fallback else ()):
            if provider not in known:
                raise refuse(
                    f"no backend of any route has provider '{provider}'",
                    one_of(sorted(known)),
                    nearest=nearest(provider, known),
                    at=("fallback", "chain", index),
                )
        return self


class GatewayFile(Spec):
    """A whole gateway document."""

    gateway: Gateway

    @property
    def name(self) -> str:
        return self.gateway.name

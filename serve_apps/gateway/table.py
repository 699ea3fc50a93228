"""The gateway's table: what the control plane wants of it. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from control.price import Price
from control.specs.trigger import Trigger, parse_trigger
from serve_apps.gateway.cache.policy import CachePolicy, parse_policy

DEFAULT_MAX_BODY_BYTES = 1 << 20


class Sticky(Enum):
    """Whose requests stay with one arm of a model."""

    NOBODY = ""
    USER = "user"
    SESSION = "session"


class Affinity(Enum):
    """Which requests a replica is wanted for more than another replica of the same arm."""

    NONE = ""
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True)
class Replica:
    """One engine. `app` is the application that it is, under which its traffic is counted; `url` its route through
    HAProxy, without `/v1`, on which it can be reached while its own address is not known.
    """

    app: str
    url: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One version of a model and its share of the traffic; `name` is that of the arm in an A/B test."""

    version: str
    weight: float
    replicas: tuple[Replica, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that gets copies of a `share` (0 to 1) of a model's requests, and whose answers nobody sees."""

    arm: Arm
    share: float


@dataclass(frozen=True, slots=True)
class Model:
    """`wakes_s` is how many seconds a request may wait for a model without replicas to get one; 0 is not at all."""

    arms: tuple[Arm, ...]
    sticky: Sticky = Sticky.NOBODY
    shadows: tuple[Shadow, ...] = ()
    affinity: Affinity = Affinity.NONE
    wakes_s: float = 0.0

    @property
    def asleep(self) -> bool:
        return self.wakes_s > 0 and not any(arm.weight > 0 and arm.replicas for arm in self.arms)


class BackendPlace(NamedTuple):
    """Where a backend is. What is known of its health is known of this."""

    provider: str
    model: str
    dialect: str
    url: str
    secret: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One place that a route's requests may go: the `model` at `url`, which is empty for a model that is served here.

    `dialect` is the API that it speaks; `secret` where its key is: {"env": NAME}, {"file": PATH} or nothing. `price` is
    None where nobody knows it. Of it the route may use `tokens_per_minute`, and `cost_per_day` nano-dollars a UTC day;
    None is any number.
    """

    provider: str
    model: str
    weight: float
    dialect: str
    url: str
    secret: tuple[tuple[str, str], ...]
    price: Price | None = None
    tokens_per_minute: int | None = None
    cost_per_day: int | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def place(self) -> BackendPlace:
        """What makes it the same backend from one table to the next, whatever a route's weight, price and limits."""
        return BackendPlace(self.provider, self.model, self.dialect, self.url, self.secret)


@dataclass(frozen=True, slots=True)
class Route:
    """Requests at a path for a model, or for any that is not served, and who may answer them.

    `chain` has providers in the order in which they are fallen back to, `triggers` say when one is left. `timeout_s`
    bounds connecting, the wait for the first token and silence between tokens; `retries` are over all backends.
    `gateway` is the document that it is from, whose limits hold for its requests; `filters` are as the control plane
    wrote them, in JSON. Without `cache` nothing is cached. With `continuation` a
    stream of text that breaks off is continued by another backend.
    """

    name: str
    path: str
    model: str | None
    backends: tuple[BackendSpec, ...]
    chain: tuple[str, ...]
    triggers: tuple[Trigger, ...]
    pool_size: int
    timeout_s: float
    retries: int
    streaming: bool
    gateway: str
    filters: str = "[]"
    cache: CachePolicy | None = None
    continuation: bool = False


class Whose(Enum):
    """For whom a limit is counted: each key by itself, or each organization over all its keys."""

    API_KEY = "api_key"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class Limit:
    """What each of `key` may use of all routes of a `gateway` document; None is any number. `cost_per_day` is in
    nano-dollars, and the day UTC's.
    """

    gateway: str
    key: Whose
    requests_per_minute: int | None
    tokens_per_minute: int | None
    cost_per_day: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """`models` by served name; `routes` by path and model, which is None in one for any model. The gateway has so many
    `replicas`.
    """

    version: int
    models: dict[str, Model]
    max_body_bytes: int
    routes: dict[tuple[str, str | None], Route] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    replicas: int = 1


def parse_table(raw: bytes) -> Table:
    """The table in `raw`. Raises ValueError, KeyError, TypeError or AttributeError where it is not one."""
    document: dict[str, Any] = json.loads(raw)
    models = {name: _model(model) for name, model in document["models"].items()}
    max_body_bytes = int(document.get("max_body_bytes", DEFAULT_MAX_BODY_BYTES))
    routes = {(route.path, route.model): route for route in map(_route, document.get("routes", ()))}
    limits = tuple(_limit(told) for told in document.get("limits", ()))
    return Table(int(document["version"]), models, max_body_bytes, routes, limits, int(document.get("replicas", 1)))


def _route(told: dict[str, Any]) -> Route:
    return Route(
        str(told["name"]),
        str(told["path"]),
        told.get("model"),
        tuple(_backend(backend) for backend in told["backends"]),
        tuple(told["chain"]),
        tuple(parse_trigger(text) for text in told["triggers"]),
        int(told["pool_size"]),
        float(told["timeout_s"]),
        int(told["retries"]),
        bool(told["streaming"]),
        str(told.get("gateway", "")),
        json.dumps(told.get("filters", [])),
        parse_policy(told.get("cache")),
        bool(told.get("continuation")),
    )


def _limit(told: dict[str, Any]) -> Limit:
    whose, requests, tokens = Whose(told["key"]), told["requests_per_minute"], told["tokens_per_minute"]
    return Limit(str(told["gateway"]), whose, requests, tokens, told["cost_per_day"])


def _backend(told: dict[str, Any]) -> BackendSpec:
    secret = tuple(sorted(told["secret"].items()))
    price = told.get("price")
    return BackendSpec(
        told["provider"],
        told["model"],
        float(told["weight"]),
        told["dialect"],
        told["url"],
        secret,
        Price(*price) if price is not None else None,
        told.get("tokens_per_minute"),
        told.get("cost_per_day"),
    )


def _model(told: dict[str, Any]) -> Model:
    wakes_s = float(told.get("wakes_s", 0))
    if not 0 <= wakes_s < math.inf:
        raise ValueError(f"wakes_s is a number of seconds, not {wakes_s}")
    return Model(
        tuple(_arm(arm, arm["weight"]) for arm in told["arms"]),
        Sticky(told.get("sticky", "")),
        tuple(Shadow(_arm(shadow, 0), float(shadow["share"])) for shadow in told.get("shadows", ())),
        Affinity(told.get("affinity", "")),
        wakes_s,
    )


def _arm(told: dict[str, Any], weight: float) -> Arm:
    """An arm without `replicas`, of a table that an older control plane wrote, is an arm with one: itself."""
    replicas = tuple(
        Replica(str(replica.get("app", "")), replica["url"].rstrip("/")) for replica in told.get("replicas", (told,))
    )
    return Arm(str(told["version"]), float(weight), replicas, str(told.get("name", "")))

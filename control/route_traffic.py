"""How requests by routes went, as every gateway replica counts them, and how the routes' backends are. Pure.

Counts are cumulative since their replica began. A backend is named by provider and model; a model that is served here
is a backend of the route "". So that no number of names makes a replica's heartbeat large, only `MOST_PAIRS` pairs of
route and backend are told apart, and `MOST_SHARES` of them with an organization: those that came first, because then
no count ever falls. The rest are added up as `OTHER`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from control import traffic
from control.traffic import Traffic

MOST_PAIRS = 64
MOST_SHARES = 512
MOST_CODES = 64
OTHER = "other"


class Outcome(StrEnum):
    """How a request ended, for who sent it."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    RATE_LIMITED = "rate_limited"
    OVER_BUDGET = "over_budget"
    SERVER_ERROR = "server_error"
    CUT = "cut"
    CLIENT_LEFT = "client_left"


class Pair(NamedTuple):
    route: str
    backend: str


class Share(NamedTuple):
    """What an organization has of a route at one of its backends."""

    route: str
    backend: str
    organization: str


@dataclass(slots=True)
class Counts:
    """Requests by how they ended; of them `fallbacks` that were answered, and not by the first try,
    and hits of the cache; tokens; nano-dollars, of which `saved` were not spent thanks to the cache.
    """

    ok: int = 0
    client_error: int = 0
    rate_limited: int = 0
    over_budget: int = 0
    server_error: int = 0
    cut: int = 0
    client_left: int = 0
    fallbacks: int = 0
    exact: int = 0
    semantic: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: int = 0
    saved: int = 0

    def __sub__(self, earlier: Counts) -> Counts:
        """What came since the `earlier` reading of the same replica; all of it where it began to count anew."""
        past = asdict(earlier)
        new = {name: count - past[name] for name, count in asdict(self).items()}
        return self if min(new.values()) < 0 else Counts(**new)


class Standing(NamedTuple):
    """How a replica finds a backend of a route: its breaker's `state`, and `why` it gets no requests now, if so."""

    route: str
    backend: str
    state: str
    why: str


@dataclass(frozen=True)
class RouteTraffic:
    """`times` has of each pair its requests and errors (5xx and broken answers), the times from a request's arrival to
    the first content of a stream, and to the end of an answer that came whole. `errors` are all that were answered, by
    their code: also to requests of which nothing else is counted, as their key or body was no good.
    """

    shares: Mapping[Share, Counts]
    times: Mapping[Pair, Traffic]
    standings: tuple[Standing, ...]
    errors: Mapping[str, int]


def model_of(backend: str) -> str:
    """The model that a backend's name ends with; a model that is served here is one by itself."""
    return backend.partition("/")[2] or backend


def parse(body: Mapping[str, Any]) -> RouteTraffic:
    """Out of a replica's heartbeat; nothing, of one that counts no routes. Raises ValueError where that is not what it
    is.
    """
    try:
        times = {
            Pair(*name.split(" ", 1)): one for name, one in traffic.parse({"apps": body.get("routes", {})}).items()
        }
        shares = {
            Share(str(route), str(backend), str(organization)): Counts(**{name: int(n) for name, n in told.items()})
            for route, backend, organization, told in body.get("shares", ())
        }
        standings = tuple(Standing(*map(str, told)) for told in body.get("backends", ()))
        errors = {str(code): int(count) for code, count in body.get("errors", {}).items()}
    except (TypeError, AttributeError, ValueError) as error:
        reason = f"expected routes, shares, backends and errors; found {type(error).__name__}: {error}"
        raise ValueError(f"this is no gateway replica's traffic by routes: {reason}") from None
    return RouteTraffic(shares, times, standings, errors)


def document(
    shares: Mapping[Share, Counts],
    times: Mapping[Pair, Traffic],
    standings: Iterable[Standing],
    errors: Mapping[str, int],
) -> dict[str, Any]:
    """The part of the body of a replica's heartbeat that `parse` reads. Names of routes have no spaces."""
    return {
        "routes": traffic.document({" ".join(pair): one for pair, one in times.items()})["apps"],
        "shares": [[*share, {n: count for n, count in asdict(one).items() if count}] for share, one in shares.items()],
        "backends": [list(one) for one in standings],
        "errors": dict(errors),
    }

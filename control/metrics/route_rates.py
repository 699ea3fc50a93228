"""What went on between two looks at the plane, by route and backend: what `biplane gateway top` shows. Pure.

Gateway replicas write in their own time, so each one's rate is taken over the time between its own two writings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

from control.metrics.reading import Reading
from control.price import NANO
from control.route_traffic import Counts, Pair, Standing
from control.traffic import Traffic, quantile

STATES = ("healthy", "degraded", "half_open", "open")
"""Of a breaker, the worst last."""
HOUR = 3600.0


@dataclass(frozen=True)
class RouteFigures:
    """Rates per second, dollars per hour, times in milliseconds; None where nothing came in this time."""

    requests: float
    errors: float
    tokens: float
    dollars: float
    first_p50: float | None
    first_p99: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class BackendRow:
    """`state` is that of its breaker at the replica that finds it worst, `why` what keeps requests from it there; both
    are empty of what no route names.
    """

    backend: str
    state: str
    why: str
    figures: RouteFigures


@dataclass(frozen=True)
class RouteRow:
    """With the figures of all its backends together, and of what no backend was asked for."""

    route: str
    figures: RouteFigures
    backends: tuple[BackendRow, ...]


@dataclass
class _Came:
    """What one pair did between the looks, at all replicas: requests, errors, tokens and dollars by the second."""

    traffic: Traffic
    requests: float = 0.0
    errors: float = 0.0
    tokens: float = 0.0
    dollars: float = 0.0


def route_rows(before: Reading, after: Reading) -> tuple[RouteRow, ...]:
    """Every route by name, with every backend that it has or that answered."""
    came = _came(before, after)
    stands = _worst(standing for gateway in after.gateways.values() for standing in gateway.routes.standings)
    members: dict[str, set[str]] = {}
    for route, backend in (*came, *stands):
        members.setdefault(route, set()).add(backend)
    return tuple(
        RouteRow(
            route,
            _figures(one for pair, one in came.items() if pair.route == route),
            tuple(
                BackendRow(backend, *_of(stands.get(Pair(route, backend))), _figures(_one(came, Pair(route, backend))))
                for backend in sorted(backends - {""})
            ),
        )
        for route, backends in sorted(members.items())
    )


def _came(before: Reading, after: Reading) -> dict[Pair, _Came]:
    """Of a replica that was not there before it is not known over which time it counted."""
    found: dict[Pair, _Came] = defaultdict(lambda: _Came(Traffic()))
    for name, gateway in after.gateways.items():
        was = before.gateways.get(name)
        if was is None or gateway.at <= was.at:
            continue
        seconds = gateway.at - was.at
        for pair, times in gateway.routes.times.items():
            new, one = times - was.routes.times.get(pair, Traffic()), found[pair]
            one.traffic += new
            one.requests += new.requests / seconds
            one.errors += new.errors / seconds
        for share, counts in gateway.routes.shares.items():
            more, one = counts - was.routes.shares.get(share, Counts()), found[Pair(share.route, share.backend)]
            one.tokens += (more.prompt + more.completion) / seconds
            one.dollars += more.cost / NANO / seconds
    return dict(found)


def _one(came: dict[Pair, _Came], pair: Pair) -> Iterable[_Came]:
    return (came[pair],) if pair in came else ()


def _figures(came: Iterable[_Came]) -> RouteFigures:
    came = tuple(came)
    traffic = reduce(add, (one.traffic for one in came), Traffic())
    return RouteFigures(
        requests=sum(one.requests for one in came),
        errors=sum(one.errors for one in came),
        tokens=sum(one.tokens for one in came),
        dollars=HOUR * sum(one.dollars for one in came),
        first_p50=quantile(traffic.ttft_ms, 0.5),
        first_p99=quantile(traffic.ttft_ms, 0.99),
        p50=quantile(traffic.latency_ms, 0.5),
        p99=quantile(traffic.latency_ms, 0.99),
    )


def _worst(standings: Iterable[Standing]) -> dict[Pair, Standing]:
    found: dict[Pair, Standing] = {}
    for one in standings:
        pair = Pair(one.route, one.backend)
        if pair not in found or _badness(one) > _badness(found[pair]):
            found[pair] = one
    return found


def _badness(one: Standing) -> tuple[int, bool]:
    return STATES.index(one.state) if one.state in STATES else len(STATES), bool(one.why)


def _of(standing: Standing | None) -> tuple[str, str]:
    return (standing.state, standing.why) if standing else ("", "")

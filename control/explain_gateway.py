"""How the routes of a gateway document are, and what an API key may still use. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from control.explain import Finding
from control.gateway.budgets import Budget, Holder
from control.metrics.reading import Reading
from control.specs.api_key import ApiKey
from control.specs.gateway import Gateway


def route_findings(gateway: Gateway, reading: Reading, budgets: Iterable[Budget]) -> Iterator[Finding]:
    """Each route, its backends as each gateway replica finds them, and what their budgets have left."""
    budgets = tuple(budgets)
    for route in gateway.routes:
        yield Finding(1, f"route {route.name}", "", f"takes {route.match}")
        for backend in route.backends:
            yield _backend(route.name, backend.name, reading)
            holder = Holder("backend", backend.name, route.name)
            yield from _left(3, (one for one in budgets if one.whose == holder and one.gateway == gateway.name))


def key_findings(name: str, key: ApiKey, budgets: Iterable[Budget], now: float) -> Iterator[Finding]:
    """Whether it is good, and what it and its organization may still use. `now` in seconds since 1970."""
    yield Finding(1, "standing", key.standing(now), _until(key))
    holders = Holder("key", name), Holder("organization", key.organization)
    yield from _left(1, (one for one in budgets if one.whose in holders))


def _backend(route: str, backend: str, reading: Reading) -> Finding:
    """The state and the reasons that replicas give; where they differ, at how many of them."""
    told = Counter(
        (one.state, one.why or "it gets requests")
        for gateway in reading.gateways.values()
        for one in gateway.routes.standings
        if (one.route, one.backend) == (route, backend)
    )
    if not told:
        return Finding(2, backend, "", "no gateway says how it is")
    if len(told) == 1:
        ((state, why),) = told
        return Finding(2, backend, state, why)
    parts = (f"{state} at {count} of {told.total()} gateways: {why}" for (state, why), count in sorted(told.items()))
    return Finding(2, backend, "", "; ".join(parts))


def _left(depth: int, budgets: Iterable[Budget]) -> Iterator[Finding]:
    for one in budgets:
        by = f" by {one.gateway}" if one.gateway else ""
        spent, reserved, capacity = (one.shown(units) for units in (one.spent, one.reserved, one.account.capacity))
        reason = f"{one.shown(one.left)} left of {capacity}{by}: {spent} spent, {reserved} reserved"
        yield Finding(depth, f"{one.unit} of {one.whose}", "", reason)


def _until(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"since {_date(key.revoked_at)}"
    return "it does not expire" if key.expires_at is None else f"until {_date(key.expires_at)}"


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M UTC}"

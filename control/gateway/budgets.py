"""What is left of limits and budgets: those of documents and keys, beside what the ledger has written down. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from control.accounts import Account, Window, accounts_of_backend, accounts_of_key, accounts_of_member
from control.gateway.ledger.book import Line, Place
from control.price import nano_dollars, show_dollars
from control.specs.api_key import ApiKey
from control.specs.gateway import Gateway


class Holder(NamedTuple):
    """Whose a limit is: of a `key`, an `organization`, or a `backend` of a `route`."""

    kind: Literal["key", "organization", "backend"]
    name: str
    route: str = ""

    def __str__(self) -> str:
        return f"{self.name} on route {self.route}" if self.route else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Budget:
    """An account of `whose`, by the document `gateway`, empty for what a key has of its own.

    Of its capacity `spent` units are gone, and `reserved` lent to gateways, for requests that have not ended or are to
    come. It is as if it had never been used at `full_at`, in seconds since 1970.
    """

    whose: Holder
    gateway: str
    account: Account
    spent: int
    reserved: int
    full_at: float

    @property
    def left(self) -> int:
        return max(0, self.account.capacity - self.spent - self.reserved)

    @property
    def unit(self) -> str:
        """What is counted, and over which time."""
        return f"{self.account.what}/{'min' if self.account.window is Window.MINUTE else 'day'}"

    def shown(self, units: int) -> str:
        return show_dollars(units) if self.account.what == "cost" else str(units)


@dataclass
class _Used:
    spent: int = 0
    reserved: int = 0
    full_at: float = 0.0


def budgets_of(
    gateways: Iterable[Gateway], keys: Mapping[str, ApiKey], lines: Iterable[tuple[Place, Line]], now: float
) -> tuple[Budget, ...]:
    """Of backends all; of keys and organizations what they have used something of, and of a key that is good what it
    has of its own. `lines` are those that count at `now`.
    """
    used = _used(lines)
    found: list[Budget] = []
    for gateway in gateways:
        for whose, account in _of_backends(gateway):
            found.append(_budget(whose, gateway.name, account, used, now))
        for whose, account in _of_members(gateway, keys):
            if (account.name, account.window) in used:
                found.append(_budget(whose, gateway.name, account, used, now))
    for name, key in sorted(keys.items()):
        limits = key.limits
        most = limits.requests_per_minute, limits.tokens_per_minute, _nano(limits.cost_per_day)
        for account in accounts_of_key(name, *most):
            if (account.name, account.window) in used or key.standing(now) == "valid":
                found.append(_budget(Holder("key", name), "", account, used, now))
    return tuple(found)


def _of_backends(gateway: Gateway) -> Iterator[tuple[Holder, Account]]:
    for route in gateway.routes:
        for backend in route.backends:
            limits = backend.max_tokens_per_min, _nano(backend.cost_budget_daily)
            for account in accounts_of_backend(gateway.name, route.name, backend.name, *limits):
                yield Holder("backend", backend.name, route.name), account


def _of_members(gateway: Gateway, keys: Mapping[str, ApiKey]) -> Iterator[tuple[Holder, Account]]:
    members = {"api_key": sorted(keys), "organization": sorted({key.organization for key in keys.values()})}
    for limit in gateway.rate_limits:
        for who in members[limit.key]:
            most = limit.requests_per_minute, limit.tokens_per_minute, _nano(limit.cost_per_day)
            for account in accounts_of_member(gateway.name, limit.key, who, *most):
                yield Holder("key" if limit.key == "api_key" else limit.key, who), account


def _used(lines: Iterable[tuple[Place, Line]]) -> dict[tuple[str, Window], _Used]:
    found: dict[tuple[str, Window], _Used] = {}
    for place, line in lines:
        one = found.setdefault((place.account, place.window), _Used())
        one.spent += line.spent
        one.reserved += line.lent
        if line.spent or line.lent:
            one.full_at = max(one.full_at, place.window.ends(place.slot))
    return found


def _budget(
    whose: Holder, gateway: str, account: Account, used: Mapping[tuple[str, Window], _Used], now: float
) -> Budget:
    one = used.get((account.name, account.window), _Used())
    return Budget(whose, gateway, account, one.spent, one.reserved, max(now, one.full_at))


def _nano(dollars: float | None) -> int | None:
    return None if dollars is None else nano_dollars(dollars)

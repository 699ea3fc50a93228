"""What requests may take is set aside before they are sent, and what they took is paid when they end.

Holds nothing but the accounts' names by key: units are the bank's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from control.accounts import Account, Counts, Usage
from control.price import FREE, Price, ceiling
from serve_apps.gateway.accounts.bank import Bank, Reservation, Short
from serve_apps.gateway.accounts.bound import bounded
from serve_apps.gateway.accounts.charges import Need, accounts_at, accounts_of, charge
from serve_apps.gateway.accounts.remaining import rate_headers
from serve_apps.gateway.accounts.shortage import refusal, why
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.health import Closed
from serve_apps.gateway.call import Call
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import BackendSpec, Route, Table

MOST_REMEMBERED = 10_000
"""Keys whose accounts' names are held."""
UNPRICED = "nobody knows what it costs, and the key has a budget"


class Teller:
    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._table: Table | None = None
        self._of_keys: dict[tuple[str, str | None], tuple[Key, tuple[Account, ...]]] = {}

    async def admit(self, call: Call) -> None:
        """Sets aside what the request may take of its key's and organisation's, instead of what was before. Raises
        ApiError 429 where that is more than there is, 503 where nobody can tell.
        """
        if call.reserved is not None:
            call.reserved.settle({})
            call.reserved = None
        accounts = self._accounts(call)
        if not accounts and not (call.route and _is_limited(call.route)):
            return
        prices = _prices(call.route)
        tokens = [account.capacity for account in accounts if account.what == "tokens"]
        if call.route is not None and any(spec.url or spec.price not in (None, FREE) for spec in call.route.backends):
            # An engine of ours bounds answers by its context, and would refuse a bound that is larger.
            tokens += [spec.tokens_per_minute for spec in call.route.backends if spec.tokens_per_minute is not None]
            call.request, call.bound = bounded(call.request, call.bound, min(tokens, default=1 << 40))
        if not accounts:
            return
        bound = call.bound
        need = Need(bound.tokens, max((ceiling(one, bound.prompt, bound.completion) for one in prices), default=0))
        charges = [charge(account, need) for account in accounts]
        try:
            call.reserved = await self._bank.reserve(charges)
        except Short as short:
            raise refusal(short, call.key) from None
        finally:
            now = time.monotonic()
            call.client.always = rate_headers([(one, self._bank.purse(one, now)) for one in charges], now)

    def barred(self, call: Call, specs: Mapping[Backend, BackendSpec]) -> Mapping[Backend, Closed]:
        """The backends of which it is known that there is not enough for the request, and why."""
        found, now, route = {}, time.monotonic(), call.route
        costs = any(account.what == "cost" for account in self._accounts(call))
        for backend, spec in specs.items():
            if costs and spec.price is None:
                found[backend] = Closed(UNPRICED, math.inf)
            elif route and (spec.tokens_per_minute is not None or spec.cost_per_day is not None):
                need = _need(call, spec)
                for account in accounts_at(route, spec):
                    if (short := self._bank.short(charge(account, need), now)) is not None:
                        found[backend] = Closed(why(short), now + short.wait_s)
        return found

    async def at(self, call: Call, route: Route, spec: BackendSpec) -> Reservation | None:
        """Sets aside what the request may take of a backend's; None where that is not limited. Raises Short."""
        if spec.tokens_per_minute is None and spec.cost_per_day is None:
            return None
        need = _need(call, spec)
        return await self._bank.reserve([charge(account, need) for account in accounts_at(route, spec)])

    def pay(self, call: Call, reserved: Reservation) -> None:
        """What the request took so far is spent of what was set aside for it; the rest is free again."""
        took = call.took()
        reserved.settle({"requests": 1, "tokens": took.prompt + took.completion, "cost": call.cost(took)})

    def close(self, call: Call, *, whole: bool) -> None:
        """The request ended; `whole` is whether with a whole answer."""
        took = call.took()
        if call.reserved:
            self.pay(call, call.reserved)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        route = call.route.name if call.route else ""
        who = Usage(day, call.key.name, call.key.organization, route, call.answerer)
        tokens = took.prompt, took.cached, took.completion
        self._bank.used(who, Counts(1, not whole, bool(call.hit), *tokens, call.cost(took), call.saved))

    def _accounts(self, call: Call) -> tuple[Account, ...]:
        table, gateway = call.table, call.route.gateway if call.route else None
        if table is not self._table or len(self._of_keys) > MOST_REMEMBERED:
            self._table, self._of_keys = table, {}
        key, known = self._of_keys.get((call.key.name, gateway), (None, ()))
        if key is not call.key:
            known = accounts_of(call.key, table.limits, gateway)
            self._of_keys[call.key.name, gateway] = call.key, known
        return known


def _is_limited(route: Route) -> bool:
    return any(spec.tokens_per_minute is not None or spec.cost_per_day is not None for spec in route.backends)


def _prices(route: Route | None) -> list[Price]:
    return [spec.price for spec in route.backends if spec.price is not None] if route else []


def _need(call: Call, spec: BackendSpec) -> Need:
    bound = call.bound
    return Need(bound.tokens, ceiling(spec.price or FREE, bound.prompt, bound.completion))

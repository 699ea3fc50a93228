"""Accounts of limits and budgets: what a gateway's replica asks the ledger for, and what it is answered. Pure.

An account holds at most `capacity` units over any minute, or over a day of UTC. The ledger lends units to replicas, who
spend them on requests without asking anybody, and give back what they do not need. Units are requests, tokens or
nano-dollars: always whole.

The ledger takes each report once, whatever gets lost: a holder numbers them, and repeats one until it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

LEASE_SECONDS = 1.0
"""How long units of a minute may be spent after they were asked for. The ledger counts them for so much longer than a
minute: so no minute has more than the capacity, wherever it begins."""
SLOT_SECONDS = 0.5
MINUTE_SECONDS = 60.0
DAY_SECONDS = 86400.0


class Window(StrEnum):
    """What an account's capacity is for. Units are told apart by slots: the moment, or the day, of their lending."""

    MINUTE = "any minute"
    DAY = "a day of UTC"

    def slot(self, now: float) -> int:
        """The slot of the moment `now`, in seconds since 1970."""
        return int(now // (SLOT_SECONDS if self is Window.MINUTE else DAY_SECONDS))

    def ends(self, slot: int) -> float:
        """When the units of a slot count no more, in seconds since 1970."""
        if self is Window.MINUTE:
            return (slot + 1) * SLOT_SECONDS + MINUTE_SECONDS + LEASE_SECONDS
        return (slot + 1) * DAY_SECONDS

    def lasts(self, now: float) -> float:
        """For how many seconds what is lent at the moment `now` may be spent."""
        return LEASE_SECONDS if self is Window.MINUTE else self.ends(self.slot(now)) - now


What = Literal["requests", "tokens", "cost"]


class Account(NamedTuple):
    """An account as a limit or budget makes it: `capacity` units of `what`; the unit of cost is the nano-dollar."""

    name: str
    window: Window
    capacity: int
    what: What


def accounts_of_key(key: str, requests: int | None, tokens: int | None, cost: int | None) -> Iterator[Account]:
    """What an API key may use by itself of everything; None is any number."""
    return _accounts(f"key/{key}", requests, tokens, cost)


def accounts_of_member(
    gateway: str, whose: str, who: str, requests: int | None, tokens: int | None, cost: int | None
) -> Iterator[Account]:
    """What a gateway document lets one API key or organization use (`whose` says which of them) of all its routes."""
    return _accounts(f"{gateway}/{whose}/{who}", requests, tokens, cost)


def accounts_of_backend(
    gateway: str, route: str, backend: str, tokens: int | None, cost: int | None
) -> Iterator[Account]:
    """What a route may use of one of its backends, by all who call it."""
    return _accounts(f"{gateway}/{route}/{backend}", None, tokens, cost)


def _accounts(name: str, requests: int | None, tokens: int | None, cost: int | None) -> Iterator[Account]:
    if requests is not None:
        yield Account(f"{name}/requests", Window.MINUTE, requests, "requests")
    if tokens is not None:
        yield Account(f"{name}/tokens", Window.MINUTE, tokens, "tokens")
    if cost is not None:
        yield Account(f"{name}/cost", Window.DAY, cost, "cost")


class Ask(NamedTuple):
    """`need` units for requests that wait, of which the smallest wants `least`; and `ahead` for those to come."""

    account: str
    window: Window
    capacity: int
    need: int
    least: int
    ahead: int


class Settled(NamedTuple):
    """Of units that were lent in a slot: `spent` were, and `returned` are not needed."""

    account: str
    window: Window
    slot: int
    spent: int
    returned: int


class Took(NamedTuple):
    """Units that were spent without a loan, while the ledger could not be asked."""

    account: str
    window: Window
    units: int


class Usage(NamedTuple):
    """Whose requests, and who answered them: one line of what is used on a day (`YYYY-MM-DD`, UTC)."""

    day: str
    key: str
    organization: str
    route: str
    backend: str


class Counts(NamedTuple):
    """Requests that ended, `errors` of them without a whole answer, `hits` out of the cache; tokens; nano-dollars, of
    which `saved` were not spent thanks to the cache.
    """

    requests: int = 0
    errors: int = 0
    hits: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: int = 0
    saved: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What one holder tells and asks; `number` counts its reports from 1."""

    holder: str
    number: int
    settled: tuple[Settled, ...] = ()
    took: tuple[Took, ...] = ()
    usage: tuple[tuple[Usage, Counts], ...] = ()
    asks: tuple[Ask, ...] = ()


class Grant(NamedTuple):
    """`units` are lent in `slot`, to be spent within `lasts_s` seconds; `left` is what the account has after that for
    anybody. `full_s` is when it is as if it had never been used.

    Where the need was not met, `frees` says what comes back by itself, as (after how many seconds, units), the soonest
    first; and `spent` what is spent, and not only reserved for requests that have not ended.
    """

    account: str
    slot: int
    units: int
    lasts_s: float
    left: int
    full_s: float
    frees: tuple[tuple[float, int], ...] = ()
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """To the report of that number. Of `wanted` accounts somebody else needs what the holder does not."""

    number: int
    grants: tuple[Grant, ...]
    wanted: tuple[tuple[str, Window], ...] = ()

"""What of every account is lent and spent, and what may be lent. No I/O; the time comes in.

A unit that was lent counts against its account until its slot is over, whether it is spent or not: a replica that dies
with units in hand makes an account seem emptier than it is, never fuller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from control.accounts import Ask, Grant, Reply, Report, Settled, Took, Window

AHEAD_SHARE = 4
"""Of what is left, at most one part in so many is lent for requests that nobody has sent yet."""
LOST_SECONDS = 60.0
"""What a holder has in hand that was not heard of for so long is taken for spent: it may have been."""


class Place(NamedTuple):
    """Units of one account, lent to one holder in one slot."""

    account: str
    window: Window
    slot: int
    holder: str


@dataclass(slots=True)
class Line:
    """`lent` units are out, and `spent` are gone."""

    lent: int = 0
    spent: int = 0


@dataclass(slots=True)
class Account:
    """`held` is the sum of its lines."""

    held: int = 0
    lines: dict[tuple[int, str], Line] = field(default_factory=dict)  # by slot and holder, the oldest slot first


class Book:
    """`changed` has the places whose lines changed since it was emptied last, for who writes them down."""

    def __init__(self, lines: Iterable[tuple[Place, Line]] = (), now: float = 0.0) -> None:
        self.changed: set[Place] = set()
        self._accounts: dict[tuple[str, Window], Account] = {}
        self._heard: dict[str, float] = {}
        self._wanted: dict[str, set[tuple[str, Window]]] = {}  # by holder, what it is to be told with its next reply
        self._keys: dict[tuple[int, str], tuple[int, str]] = {}  # thousands of accounts share one, of a slot and holder
        self._began = self._now = now
        for place, line in sorted(lines, key=lambda one: one[0].slot):
            account = self._accounts.setdefault((place.account, place.window), Account())
            account.lines[place.slot, place.holder] = line
            account.held += line.lent + line.spent

    def __len__(self) -> int:
        """Accounts of which something is lent or spent."""
        return len(self._accounts)

    def line(self, place: Place) -> Line:
        """Empty where there is none any more."""
        account = self._accounts.get((place.account, place.window))
        return (account.lines.get((place.slot, place.holder)) if account else None) or Line()

    def take(self, report: Report, now: float) -> Reply:
        """Takes a report in that was not taken before. A clock that goes back stands still here."""
        now = self._heard[report.holder] = self._now = max(now, self._now)
        for settled in report.settled:
            self._settle(settled, report.holder)
        for took in report.took:
            self._force(took, report.holder, now)
        grants = tuple(self._lend(ask, report.holder, now) for ask in report.asks)
        return Reply(report.number, grants, tuple(self._wanted.pop(report.holder, ())))

    def forget(self, now: float) -> None:
        """Drops what is over, and accounts of which nothing is left."""
        now = self._now = max(now, self._now)
        for (name, window), account in list(self._accounts.items()):
            _expire(account, window, now)
            if not account.lines:
                del self._accounts[name, window]
        self._keys = {}
        self._heard = {holder: at for holder, at in self._heard.items() if now - at <= LOST_SECONDS}
        self._wanted = {holder: wanted for holder, wanted in self._wanted.items() if holder in self._heard}

    def _settle(self, settled: Settled, holder: str) -> None:
        """What was lent in a slot that is over concerns nobody any more."""
        account = self._accounts.get((settled.account, settled.window))
        line = account.lines.get((settled.slot, holder)) if account else None
        if account is None or line is None:
            return
        line.lent -= settled.spent + settled.returned
        line.spent += settled.spent
        account.held -= settled.returned
        self.changed.add(Place(settled.account, settled.window, settled.slot, holder))

    def _force(self, took: Took, holder: str, now: float) -> None:
        account, slot = self._account(took.account, took.window), took.window.slot(now)
        self._add(Place(took.account, took.window, slot, holder), account, spent=took.units)

    def _lend(self, ask: Ask, holder: str, now: float) -> Grant:
        account, slot = self._account(ask.account, ask.window), ask.window.slot(now)
        _expire(account, ask.window, now)
        left = max(0, ask.capacity - account.held)
        # Less than one request wants is of no use to a replica, and may be just what another one lacks.
        needed = ask.need if ask.need <= left else left // ask.least * ask.least
        units = needed + min(ask.ahead, (left - needed) // AHEAD_SHARE)
        if units:
            self._add(Place(ask.account, ask.window, slot, holder), account, lent=units)
        grant = Grant(ask.account, slot, units, ask.window.lasts(now), left - units, _full(account, ask.window, now))
        if needed == ask.need:
            return grant
        if ask.window is Window.DAY:
            self._want(ask, account, holder)
        return grant._replace(frees=_frees(account, ask, now), spent=self._spent(account, now))

    def _want(self, ask: Ask, account: Account, asker: str) -> None:
        """Others who hold units may have some that they do not need."""
        for (_, holder), line in account.lines.items():
            if line.lent and holder != asker:
                self._wanted.setdefault(holder, set()).add((ask.account, ask.window))

    def _spent(self, account: Account, now: float) -> int:
        return sum(
            line.spent + (line.lent if now - self._heard.get(holder, self._began) > LOST_SECONDS else 0)
            for (_, holder), line in account.lines.items()
        )

    def _add(self, place: Place, account: Account, lent: int = 0, spent: int = 0) -> None:
        newest = next(reversed(account.lines), (place.slot, ""))[0]
        key = place.slot, place.holder
        line = account.lines.setdefault(self._keys.setdefault(key, key), Line())
        if place.slot < newest:  # the clock went back while no ledger ran
            account.lines = dict(sorted(account.lines.items()))
        line.lent += lent
        line.spent += spent
        account.held += lent + spent
        self.changed.add(place)

    def _account(self, name: str, window: Window) -> Account:
        return self._accounts.setdefault((name, window), Account())


def _expire(account: Account, window: Window, now: float) -> None:
    while account.lines:
        at = next(iter(account.lines))
        if window.ends(at[0]) > now:
            return
        line = account.lines.pop(at)
        account.held -= line.lent + line.spent


def _frees(account: Account, ask: Ask, now: float) -> tuple[tuple[float, int], ...]:
    """What comes back when slots are over, if all that is lent is spent; less what is out above the capacity."""
    over = max(0, account.held - ask.capacity)
    slots: dict[int, int] = {}
    for (slot, _), line in account.lines.items():
        units = line.lent + line.spent
        covered = min(over, units)
        over -= covered
        slots[slot] = slots.get(slot, 0) + units - covered
    return tuple((ask.window.ends(slot) - now, units) for slot, units in slots.items() if units)


def _full(account: Account, window: Window, now: float) -> float:
    """Until its last unit counts no more."""
    return max(0.0, window.ends(next(reversed(account.lines))[0]) - now) if account.lines else 0.0

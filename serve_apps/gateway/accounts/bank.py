"""The accounts of this replica: requests reserve what they may need, and pay for what they took.

In the steady state nobody waits: units are held for the requests to come. Where there are none, a request waits for the
next answer of the ledger. While no ledger answers, what is held is spent; then a minute's capacity is shared by the
replicas evenly, and what is for a day is refused. Kept in memory; what a crash loses is spent to the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import NamedTuple

from control.accounts import Counts, Reply, Report, Settled, Took, Usage, Window
from serve_apps.gateway.accounts.purse import PERIOD_SECONDS, Part, Purse

Ledger = Callable[[Report], Reply]
"""Asks the ledger. It is called in a thread, as it blocks; it gives up by itself, and may fail."""
AWAY_SECONDS = 1.0
"""A ledger that has not answered for so long is away: nobody waits for it any more. It is not longer than a lease, so
what comes in time may still be spent."""
PATIENCE_SECONDS = 1.0
"""For so long a request waits for units of a day that others hold and may not need."""


class Charge(NamedTuple):
    """`units` of the `what` (requests, tokens or cost) of an account."""

    account: str
    window: Window
    capacity: int
    what: str
    units: int


class Short(Exception):
    """An account has not enough. It may have in `wait_s` seconds, inf where it never will; `spent` says that what is
    missing is spent, not only reserved; `away`, that nobody can tell.
    """

    def __init__(self, charge: Charge, wait_s: float, *, spent: bool = False, away: bool = False) -> None:
        super().__init__(charge.account)
        self.charge = charge
        self.wait_s = wait_s
        self.spent = spent
        self.away = away


class Reservation:
    """What was taken for one request. It is to be settled once, however the request ends."""

    __slots__ = ("_at", "taken")

    def __init__(self, taken: list[tuple[Charge, Purse, list[Part]]], at: float) -> None:
        self._at = at
        self.taken = taken

    def settle(self, spent: Mapping[str, int]) -> None:
        """`spent` of each `what`; nothing of those that it does not name."""
        now = time.monotonic()
        for charge, purse, parts in self.taken:
            purse.settle(parts, spent.get(charge.what, 0), self._at, now)
        self.taken = []


@dataclass(slots=True, eq=False)
class Waiter:
    charges: Sequence[Charge]
    until: float
    done: asyncio.Future[Reservation]


class Bank:
    """`run` has to run for others than those that are charged nothing."""

    def __init__(self, door: Ledger) -> None:
        self.replicas = 1
        self._door = door
        self._holder = token_hex(8)
        self._purses: dict[tuple[str, Window], Purse] = {}
        self._waiting: dict[Waiter, None] = {}  # in the order in which they came
        self._touched: set[Purse] = set()  # what the next report is about
        self._usage: dict[Usage, list[int]] = {}
        self._number = 0
        self._untold: tuple[Report, float] | None = None  # what was not answered yet, and when it was made
        self._away = False
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        """Accounts of which something is held or remembered."""
        return len(self._purses)

    def used(self, who: Usage, counts: Counts) -> None:
        """Told to the ledger with the next report."""
        if (sums := self._usage.get(who)) is None:
            self._usage[who] = list(counts)
        else:
            for index, count in enumerate(counts):
                sums[index] += count

    async def reserve(self, charges: Sequence[Charge]) -> Reservation:
        """All of it or nothing. Raises Short."""
        now = time.monotonic()
        if (found := self._take(charges, now)) is not None:
            return found
        for charge in charges:
            if (short := self.short(charge, now)) is not None:
                raise short
        if self._away:
            return self._take_alone(charges, now)
        waiter = Waiter(charges, now + PATIENCE_SECONDS, asyncio.get_running_loop().create_future())
        self._waiting[waiter] = None
        self._wanted.set()
        try:
            return await waiter.done
        except asyncio.CancelledError:
            if waiter.done.done() and not waiter.done.cancelled() and waiter.done.exception() is None:
                waiter.done.result().settle({})
            raise
        finally:
            self._waiting.pop(waiter, None)

    def short(self, charge: Charge, now: float) -> Short | None:
        """Why it is no use to ask now for what is not held; None where it may be."""
        found = self._short(charge, now)
        return None if found is None or _may_come_back(found) else found

    def purse(self, charge: Charge, now: float) -> Purse:
        key = charge[:2]
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = Purse(charge.account, charge.window, charge.capacity, now)
        purse.capacity = charge.capacity
        return purse

    async def run(self) -> None:
        """Reports for ever; what is not answered is repeated before anything else is told, by the next `run` as well
        where this one fails. An answer that cannot be taken in is asked for no more: the ledger has the report, and
        what it lent runs out.
        """
        turned = 0.0
        if self._untold is not None:
            await self._tell()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):  # wait_for loses a cancellation at times
                    await self._wanted.wait()
            now = time.monotonic()
            if now - turned >= PERIOD_SECONDS:
                turned = now
                self._turn(now)
            self._wanted.clear()
            if self._prepare(now) is not None:
                await self._tell()

    async def close(self) -> None:
        """Gives everything back, as far as the ledger can be reached now. `run` has ended by then."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(AWAY_SECONDS):
                if self._untold is not None:
                    self._hear(await asyncio.to_thread(self._door, self._untold[0]))
                self._be_away()  # those who still wait are not asked for
                now = time.monotonic()
                for purse in self._purses.values():
                    purse.make_tight(now)  # and none is held for those to come
                    self._touched.add(purse)
                if (report := self._prepare(now)) is not None:
                    await asyncio.to_thread(self._door, report)

    def _short(self, charge: Charge, now: float) -> Short | None:
        if charge.units > charge.capacity:
            return Short(charge, math.inf)
        purse = self._purses.get(charge[:2])
        if purse is None or (found := purse.short(charge.units, now)) is None:
            return None
        wait_s, spent = found
        return Short(charge, wait_s, spent=spent)

    def _take(self, charges: Sequence[Charge], now: float) -> Reservation | None:
        purses = []
        for charge in charges:
            purse = self.purse(charge, now)
            if not purse.has(charge.units, now):
                return None
            purses.append(purse)
        taken = [(charge, purse, purse.take(charge.units, now)) for charge, purse in zip(charges, purses, strict=True)]
        return Reservation(taken, now)

    def _take_alone(self, charges: Sequence[Charge], now: float) -> Reservation:
        """By what every replica knows for itself. Raises Short."""
        taken: list[tuple[Charge, Purse, list[Part]]] = []
        for charge in charges:
            purse = self.purse(charge, now)
            held = purse.has(charge.units, now)
            parts = purse.take(charge.units, now) if held else purse.take_alone(charge.units, self.replicas, now)
            if parts is None:
                Reservation(taken, now).settle({})
                raise Short(charge, AWAY_SECONDS, away=charge.window is Window.DAY)
            taken.append((charge, purse, parts))
        return Reservation(taken, now)

    def _turn(self, now: float) -> None:
        for key, purse in list(self._purses.items()):
            purse.turn()
            if purse.idle(now):
                del self._purses[key]
            else:
                self._touched.add(purse)

    def _prepare(self, now: float) -> Report | None:
        """What there is to tell and to ask; None where there is nothing, and nothing to hear of either."""
        needs: dict[Purse, list[int]] = {}
        for waiter in self._waiting:
            if not waiter.done.done():
                for charge in waiter.charges:
                    needs.setdefault(self.purse(charge, now), []).append(charge.units)
        self._touched.update(needs)
        settled: list[Settled] = []
        took: list[Took] = []
        asks = []
        for purse in self._touched:
            told, alone = purse.tell(now)
            settled += told
            took += [alone] if alone else []
            need = needs.get(purse, [0])
            if (ask := purse.ask(sum(need), min(need), now)) is not None:
                asks.append(ask)
        self._touched.clear()
        usage = tuple((who, Counts(*counts)) for who, counts in self._usage.items())
        self._usage = {}
        if not (settled or took or asks or usage or self._purses):
            return None
        self._number += 1
        report = Report(self._holder, self._number, tuple(settled), tuple(took), usage, tuple(asks))
        self._untold = report, now
        return report

    async def _tell(self) -> None:
        """Returns when what is not told yet was answered."""
        assert self._untold is not None
        report = self._untold[0]
        asking = asyncio.create_task(asyncio.to_thread(self._door, report))
        while True:
            if not (await asyncio.wait({asking}, timeout=AWAY_SECONDS))[0]:
                self._be_away()
            elif asking.exception() is None:
                return self._hear(asking.result())
            else:
                self._be_away()
                await asyncio.sleep(PERIOD_SECONDS)
                asking = asyncio.create_task(asyncio.to_thread(self._door, report))

    def _hear(self, reply: Reply) -> None:
        assert self._untold is not None
        report, made = self._untold
        self._untold = None
        self._away = False
        now = time.monotonic()
        for grant, ask in zip(reply.grants, report.asks, strict=True):
            key = ask.account, ask.window
            if (purse := self._purses.get(key)) is None:
                purse = self._purses[key] = Purse(ask.account, ask.window, ask.capacity, now)
            purse.lend(grant, made + grant.lasts_s, now)
            self._touched.add(purse)
        self._serve(now)
        for key in reply.wanted:
            if (purse := self._purses.get(key)) is not None:
                purse.make_tight(now)
                self._touched.add(purse)
                self._wanted.set()

    def _serve(self, now: float) -> None:
        """Those who wait, in the order in which they came, as far as there is enough."""
        for waiter in list(self._waiting):
            if waiter.done.done():
                continue
            if (found := self._take(waiter.charges, now)) is not None:
                waiter.done.set_result(found)
                continue
            shorts = [short for charge in waiter.charges if (short := self._short(charge, now)) is not None]
            for short in shorts:
                if now >= waiter.until or not _may_come_back(short):
                    waiter.done.set_exception(short)
                    break
            else:
                if not shorts:
                    self._wanted.set()

    def _be_away(self) -> None:
        self._away = True
        now = time.monotonic()
        for waiter in list(self._waiting):
            if waiter.done.done():
                continue
            try:
                waiter.done.set_result(self._take_alone(waiter.charges, now))
            except Short as short:
                waiter.done.set_exception(short)


def _may_come_back(short: Short) -> bool:
    """Soon, as it is not spent: of what is lent for a day others give back what they do not need."""
    return short.charge.window is Window.DAY and not short.spent and short.charge.units <= short.charge.capacity

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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import NamedTuple

from control.accounts import LEASE_SECONDS, Counts, Reply, Report, Settled, Took, Usage, Window
from serve_apps.gateway.accounts.purse import PERIOD_SECONDS, Part, Purse

Ledger = Callable[[Report], Reply]
"""Asks the ledger. It may block and may fail: it is called in a thread."""
AWAY_SECONDS = 1.0
"""A ledger that has not answered for so long is away: nobody waits for it any more."""


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

    __slots__ = ("_bank", "taken")

    def __init__(self, bank: Bank, taken: list[tuple[Charge, Purse, list[Part]]]) -> None:
        self._bank = bank
        self.taken = taken

    def settle(self, spent: Mapping[str, int]) -> None:
        """`spent` of each `what`; nothing of those that it does not name."""
        now = time.monotonic()
        for charge, purse, parts in self.taken:
            purse.settle(parts, spent.get(charge.what, 0), now)
            self._bank.touched.add(purse)
        self.taken = []


@dataclass(slots=True, eq=False)
class Waiter:
    charges: Sequence[Charge]
    done: asyncio.Future[Reservation]


class Bank:
    """`run` has to run for others than those that are charged nothing."""

    def __init__(self, door: Ledger) -> None:
        self.replicas = 1
        self.touched: set[Purse] = set()
        self._door = door
        self._holder = token_hex(8)
        self._purses: dict[tuple[str, Window], Purse] = {}
        self._waiting: deque[Waiter] = deque()
        self._usage: dict[Usage, list[int]] = {}
        self._number = 0
        self._away = False
        self._wanted = asyncio.Event()

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
        waiter = Waiter(charges, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._wanted.set()
        try:
            return await waiter.done
        except asyncio.CancelledError:
            if waiter.done.done() and not waiter.done.cancelled() and waiter.done.exception() is None:
                waiter.done.result().settle({})
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)

    def short(self, charge: Charge, now: float) -> Short | None:
        """Why it is no use to ask now for what is not held; None where it may be."""
        if charge.units > charge.capacity:
            return Short(charge, math.inf)
        purse = self._purses.get(charge[:2])
        if purse is None or purse.again_at <= now or purse.short_until <= now or purse.has(charge.units, now):
            return None
        return Short(charge, purse.short_until - now, spent=purse.spent)

    def purse(self, charge: Charge, now: float) -> Purse:
        key = charge[:2]
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = Purse(charge.account, charge.window, charge.capacity, now)
        purse.capacity = charge.capacity
        return purse

    async def run(self) -> None:
        """Reports for ever; what is not answered is repeated before anything else is told."""
        turned = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._wanted.wait()
            now = time.monotonic()
            if now - turned >= PERIOD_SECONDS:
                turned = now
                self._turn(now)
            self._wanted.clear()
            if (report := self._report(now)) is not None:
                await self._tell(report, now)
                self._serve(time.monotonic())

    async def close(self) -> None:
        """Gives everything back, as far as the ledger can be reached now."""
        for purse in self._purses.values():
            purse.close()
            self.touched.add(purse)
        report = self._report(time.monotonic())
        if report is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(asyncio.to_thread(self._door, report), AWAY_SECONDS)

    def _take(self, charges: Sequence[Charge], now: float) -> Reservation | None:
        purses = [self.purse(charge, now) for charge in charges]
        for charge, purse in zip(charges, purses, strict=True):
            if not purse.has(charge.units, now):
                return None
        self.touched.update(purses)
        return Reservation(
            self,
            [(charge, purse, purse.take(charge.units, now)) for charge, purse in zip(charges, purses, strict=True)],
        )

    def _take_alone(self, charges: Sequence[Charge], now: float) -> Reservation:
        """By what every replica knows for itself. Raises Short."""
        taken: list[tuple[Charge, Purse, list[Part]]] = []
        for charge in charges:
            purse = self.purse(charge, now)
            held = purse.has(charge.units, now)
            parts = purse.take(charge.units, now) if held else purse.take_alone(charge.units, self.replicas, now)
            if parts is None:
                Reservation(self, taken).settle({})
                raise Short(charge, AWAY_SECONDS, away=charge.window is Window.DAY)
            taken.append((charge, purse, parts))
            self.touched.add(purse)
        return Reservation(self, taken)

    def _turn(self, now: float) -> None:
        for key, purse in list(self._purses.items()):
            purse.turn()
            if purse.idle and purse not in self.touched and now >= purse.short_until:
                del self._purses[key]
            else:
                self.touched.add(purse)

    def _report(self, now: float) -> Report | None:
        """What there is to tell and to ask; None where there is nothing."""
        needs: dict[Purse, list[int]] = {}
        for waiter in self._waiting:
            for charge in waiter.charges:
                needs.setdefault(self.purse(charge, now), []).append(charge.units)
        self.touched.update(needs)
        settled: list[Settled] = []
        took: list[Took] = []
        asks = []
        for purse in self.touched:
            told, alone = purse.tell(now)
            settled += told
            took += [alone] if alone else []
            need = needs.get(purse, [0])
            if (ask := purse.ask(sum(need), need[0])) is not None:
                asks.append(ask)
        self.touched.clear()
        usage = tuple((who, Counts(*counts)) for who, counts in self._usage.items())
        self._usage = {}
        if not (settled or took or asks or usage):
            return None
        self._number += 1
        return Report(self._holder, self._number, tuple(settled), tuple(took), usage, tuple(asks))

    async def _tell(self, report: Report, now: float) -> None:
        """Returns when the report was answered."""
        asking: asyncio.Task[Reply] | None = None
        while True:
            asking = asking or asyncio.create_task(asyncio.to_thread(self._door, report))
            try:
                reply = await asyncio.wait_for(asyncio.shield(asking), AWAY_SECONDS)
                break
            except TimeoutError:
                self._be_away()
            except Exception:
                asking = None
                self._be_away()
                await asyncio.sleep(PERIOD_SECONDS)
        self._away = False
        heard, today = time.monotonic(), time.time()
        for grant, ask in zip(reply.grants, report.asks, strict=True):
            purse = self._purses.get((ask.account, ask.window))
            if purse is None:
                purse = self._purses[ask.account, ask.window] = Purse(ask.account, ask.window, ask.capacity, heard)
            until = now + LEASE_SECONDS if ask.window is Window.MINUTE else heard + ask.window.ends(grant.slot) - today
            purse.lend(grant, until, heard)
            self.touched.add(purse)

    def _serve(self, now: float) -> None:
        """Those who wait, in the order in which they came, as far as there is enough."""
        for waiter in list(self._waiting):
            if waiter.done.done():
                continue
            if (found := self._take(waiter.charges, now)) is not None:
                waiter.done.set_result(found)
                continue
            for charge in waiter.charges:
                if (short := self.short(charge, now)) is not None:
                    waiter.done.set_exception(short)
                    break
            else:
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

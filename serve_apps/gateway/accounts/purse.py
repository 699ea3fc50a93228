"""The units of one account that this replica holds: lent by the ledger, spent by requests. No I/O; the time comes in.

Kept in memory only. A crash loses them: to the ledger they are spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.accounts import LEASE_SECONDS, MINUTE_SECONDS, Ask, Grant, Settled, Took, Window

PERIOD_SECONDS = 0.2
"""Between two reports to the ledger, as far as no request waits for one."""
PERIODS_AHEAD = {Window.MINUTE: LEASE_SECONDS / PERIOD_SECONDS, Window.DAY: 5.0 / PERIOD_SECONDS}
"""For how many periods like the last ones a replica holds units. Those of a minute expire; those of a day are what it
can spend while no ledger answers."""
IDLE_SECONDS = 5.0
"""An account that no request was on for so long gets back what is held of it."""
TIGHT_SECONDS = 2.0
"""For so long nothing is held of an account after somebody else wanted what was held of it."""
LEAST_PACE = 1.5
"""Requests a period, from which on units are held for those to come: for fewer, most would be lent in vain."""
SMOOTHING = 0.3
BUCKET_SECONDS = 5.0
BUCKETS = int(MINUTE_SECONDS / BUCKET_SECONDS) + 1
"""So many make up a minute, wherever it begins."""

Part = tuple[int, int, float]
"""Units that were taken: the slot of the lot, how many, and until when they may be spent. Where no ledger could be
asked the slot is below zero: which report is the first that may tell of them."""


@dataclass(slots=True)
class Lot:
    """Units lent in one slot, which may be spent `until` then."""

    slot: int
    units: int
    until: float


class Purse:
    """`now` is in seconds on a clock that does not go back. `units` may be spent, as of the last `has`.

    `left` is what the ledger had left for anybody when it was heard last, `full_at` when all is as if nothing had been
    used.
    """

    __slots__ = (
        "_again_at",
        "_alone_until",
        "_frees",
        "_heard",
        "_lots",
        "_out",
        "_pace",
        "_rate",
        "_recent",
        "_settled",
        "_spent",
        "_taken",
        "_tight_until",
        "_told",
        "_took",
        "_used",
        "account",
        "capacity",
        "full_at",
        "last",
        "left",
        "units",
        "window",
    )

    def __init__(self, account: str, window: Window, capacity: int, now: float) -> None:
        self.account = account
        self.window = window
        self.capacity = capacity
        self.units = 0
        self.left = capacity
        self.full_at = 0.0
        self.last = now
        self._lots: list[Lot] = []  # the first to expire is the first
        self._settled: dict[int, list[int]] = {}
        self._out = 0  # requests that have not ended
        self._took = 0
        self._told = 0  # how often
        self._taken = self._used = 0  # requests and units, in this period
        self._pace = self._rate = 0.0  # the same in periods like the last ones
        self._recent: dict[float, int] = {}  # units of the last minute, by bucket
        self._alone_until = 0.0  # until when what was taken without a ledger is remembered
        self._tight_until = 0.0
        self._heard = self._again_at = 0.0  # until when what was heard of a shortage holds
        self._frees: tuple[tuple[float, int], ...] = ()
        self._spent = 0

    def has(self, need: int, now: float) -> bool:
        if self._lots and self._lots[0].until <= now:
            self._expire(now)
        return self.units >= need

    def take(self, need: int, now: float) -> list[Part]:
        """What it `has`, of the oldest lots first."""
        self._count(need, now)
        self.units -= need
        parts: list[Part] = []
        while need:
            lot = self._lots[0]
            if need < lot.units:
                lot.units -= need
                parts.append((lot.slot, need, lot.until))
                break
            need -= lot.units
            parts.append((lot.slot, lot.units, lot.until))
            del self._lots[0]
        return parts

    def take_alone(self, need: int, replicas: int, now: float) -> list[Part] | None:
        """Without a ledger: a replica's share of a minute's capacity, and nothing of a day's."""
        if self.window is Window.DAY or self._last_minute(now) + need > self.capacity // replicas:
            return None
        self._count(need, now)
        self._took += need
        self._alone_until = now + MINUTE_SECONDS + BUCKET_SECONDS
        return [(-1 - self._told, need, now)]

    def settle(self, parts: list[Part], spent: int, at: float, now: float) -> None:
        """Of what was taken `at` that moment, `spent` is gone. More than was taken can be: it is counted."""
        self._out -= 1
        untold = -1 - self._told
        for slot, units, until in parts:
            gone = units if units < spent else spent
            spent -= gone
            if rest := units - gone:
                if (bucket := at // BUCKET_SECONDS) in self._recent:
                    self._recent[bucket] -= rest
                if slot == untold:  # else the ledger counts for its minute what it was told
                    self._took -= rest
                elif slot >= 0 and until > now and self._keeps(now):
                    self._put(slot, rest, until)
                    rest = 0
            if slot >= 0:
                self._note(slot, gone, rest)
        self._took += spent

    def lend(self, grant: Grant, until: float, now: float) -> None:
        """`until` is when the units may not be spent any more."""
        self.left, self.full_at = grant.left, now + grant.full_s
        self._heard, self._frees, self._spent = now, grant.frees, grant.spent
        self._again_at = now + PERIOD_SECONDS if grant.frees else 0.0
        if grant.units and until > now:
            self._put(grant.slot, grant.units, until)
        elif grant.units:
            self._note(grant.slot, 0, grant.units)

    def short(self, need: int, now: float) -> tuple[float, bool] | None:
        """After how many seconds `need` units can be had if nothing more is lent, and whether what is missing is spent,
        and not only reserved. None where they are held, or the ledger may have them.
        """
        if now >= self._again_at or self.has(need, now) or (missing := need - self.units - self.left) <= 0:
            return None
        spent = self._spent + need > self.capacity
        for after_s, units in self._frees:
            missing -= units
            if missing <= 0:
                return max(0.0, self._heard + after_s - now), spent
        return math.inf, spent

    def tell(self, now: float) -> tuple[list[Settled], Took | None]:
        """What the ledger has to hear, once: whoever asks sends it until it is heard."""
        self._expire(now)
        if now - self.last > IDLE_SECONDS:
            self._give_back()
        settled = [Settled(self.account, self.window, slot, *sums) for slot, sums in self._settled.items()]
        took = Took(self.account, self.window, self._took) if self._took else None
        self._settled.clear()
        self._took = 0
        self._told += 1
        return settled, took

    def turn(self) -> None:
        """A period is over."""
        self._rate, self._pace = _followed(self._rate, self._used), _followed(self._pace, self._taken)
        self._used = self._taken = 0
        if len(self._recent) > BUCKETS:
            del self._recent[next(iter(self._recent))]

    def ask(self, need: int, least: int, now: float) -> Ask | None:
        """For requests that wait for `need` units, of which the smallest wants `least`; and for those to come, as many
        as came lately.
        """
        wanted = int(self._rate * PERIODS_AHEAD[self.window]) if self._keeps(now) else 0
        ahead = wanted - self.units if self.units < wanted / 2 else 0
        missing = max(0, need - self.units)
        if not missing and ahead <= 0:
            return None
        least = max(1, least - self.units)
        return Ask(self.account, self.window, self.capacity, missing, least, max(0, ahead))

    def make_tight(self, now: float) -> None:
        """Somebody else wants what is held: all of it goes back with the next `tell`."""
        self._tight_until = now + TIGHT_SECONDS
        self._give_back()

    def idle(self, now: float) -> bool:
        """Whether there is nothing to remember."""
        return not (
            self._out
            or self._lots
            or self._settled
            or self._took
            or self._pace >= LEAST_PACE
            or now < self._again_at
            or now < self._alone_until
        )

    def _keeps(self, now: float) -> bool:
        return self._pace >= LEAST_PACE and now >= self._tight_until

    def _give_back(self) -> None:
        for lot in self._lots:
            self._note(lot.slot, 0, lot.units)
        self._lots.clear()
        self.units = 0

    def _put(self, slot: int, units: int, until: float) -> None:
        self.units += units
        for index, lot in enumerate(self._lots):
            if lot.until == until and lot.slot == slot:
                lot.units += units
                return
            if lot.until > until:
                self._lots.insert(index, Lot(slot, units, until))
                return
        self._lots.append(Lot(slot, units, until))

    def _expire(self, now: float) -> None:
        while self._lots and self._lots[0].until <= now:
            lot = self._lots.pop(0)
            self.units -= lot.units
            self._note(lot.slot, 0, lot.units)

    def _note(self, slot: int, spent: int, returned: int) -> None:
        """What is spent of a minute's the ledger need not know: it counts what is lent."""
        if self.window is Window.MINUTE:
            if not returned:
                return
            spent = 0
        if (sums := self._settled.get(slot)) is None:
            self._settled[slot] = [spent, returned]
        else:
            sums[0] += spent
            sums[1] += returned

    def _count(self, units: int, now: float) -> None:
        self.last = now
        self._out += 1
        self._used += units
        self._taken += 1
        bucket = now // BUCKET_SECONDS
        self._recent[bucket] = self._recent.get(bucket, 0) + units

    def _last_minute(self, now: float) -> int:
        return sum(units for bucket, units in self._recent.items() if bucket > now // BUCKET_SECONDS - BUCKETS)


def _followed(mean: float, now: float) -> float:
    """Up at once, down slowly."""
    return now if now > mean else mean + SMOOTHING * (now - mean)

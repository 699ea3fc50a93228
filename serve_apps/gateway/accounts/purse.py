"""The units of one account that this replica holds: lent by the ledger, spent by requests. No I/O; the time comes in.

Kept in memory only. A crash loses them: to the ledger they are spent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from control.accounts import LEASE_SECONDS, MINUTE_SECONDS, Ask, Grant, Settled, Took, Window

PERIOD_SECONDS = 0.2
"""Between two reports to the ledger, as far as no request waits for one."""
PERIODS_AHEAD = {Window.MINUTE: LEASE_SECONDS / PERIOD_SECONDS, Window.DAY: 5.0 / PERIOD_SECONDS}
"""For how many periods like the last ones a replica holds units. Those of a minute expire; those of a day are what it
can spend while no ledger answers."""
IDLE_SECONDS = 5.0
"""An account that no request was on for so long gets back what is held of it."""
LEAST_PACE = 1.5
"""Requests a period, from which on units are held for those to come: for fewer, most would be lent in vain."""
SMOOTHING = 0.3
BUCKET_SECONDS = 5.0


@dataclass(slots=True)
class Lot:
    """Units lent in one slot, which may be spent `until` then."""

    slot: int
    units: int
    until: float


class Part(NamedTuple):
    """Units taken out of one lot; out of none (`slot` is -1) where no ledger could be asked."""

    slot: int
    units: int
    until: float


class Purse:
    """`now` is in seconds on a clock that does not go back. `units` may be spent, as of the last `expire`.

    `left` is what the ledger had left for anybody when it was heard last, `full_at` when all is as if nothing had been
    used. Until `short_until` the ledger may not have enough; `spent` says that what is missing is spent. As others may
    give back what they do not need, the ledger may be asked `again_at` then.
    """

    __slots__ = (
        "_lots",
        "_pace",
        "_rate",
        "_recent",
        "_settled",
        "_taken",
        "_took",
        "_used",
        "account",
        "again_at",
        "capacity",
        "full_at",
        "last",
        "left",
        "short_until",
        "spent",
        "units",
        "window",
    )

    def __init__(self, account: str, window: Window, capacity: int, now: float) -> None:
        self.account = account
        self.window = window
        self.capacity = capacity
        self.units = 0
        self.left = capacity
        self.full_at = self.short_until = self.again_at = 0.0
        self.spent = False
        self.last = now
        self._lots: deque[Lot] = deque()
        self._settled: dict[int, list[int]] = {}
        self._took = 0
        self._taken = self._used = 0  # requests and units, in this period
        self._pace = self._rate = 0.0  # the same in periods like the last ones
        self._recent: deque[list[float]] = deque()  # [bucket, units] of the last minute

    def has(self, need: int, now: float) -> bool:
        if self._lots and self._lots[0].until <= now:
            self._expire(now)
        return self.units >= need

    def take(self, need: int, now: float) -> list[Part]:
        """What it `has`, of the oldest lots first."""
        self._count(need, now)
        self.units -= need
        parts = []
        while need:
            lot = self._lots[0]
            units = min(need, lot.units)
            parts.append(Part(lot.slot, units, lot.until))
            need -= units
            lot.units -= units
            if not lot.units:
                self._lots.popleft()
        return parts

    def take_alone(self, need: int, replicas: int, now: float) -> list[Part] | None:
        """Without a ledger: a replica's share of a minute's capacity, and nothing of a day's."""
        if self.window is Window.DAY or self._last_minute(now) + need > self.capacity // replicas:
            return None
        self._count(need, now)
        self._took += need
        return [Part(-1, need, now)]

    def settle(self, parts: list[Part], spent: int, now: float) -> None:
        """Of what was taken, `spent` is gone. More than was taken can be gone of a minute's only: it is counted."""
        for slot, units, until in parts:
            gone = min(units, spent)
            spent -= gone
            if rest := units - gone:
                self._uncount(rest)
            if slot < 0:
                self._took -= rest
                continue
            if rest and until > now:
                self._put(Lot(slot, rest, until))
                rest = 0
            self._note(slot, gone, rest)
        if spent and self.window is Window.MINUTE:
            self._took += spent

    def lend(self, grant: Grant, until: float, now: float) -> None:
        """`until` is when the units may not be spent any more."""
        self.left, self.full_at, self.spent = grant.left, now + grant.full_s, grant.spent
        self.short_until = now + grant.wait_s if grant.wait_s else 0.0
        self.again_at = now + PERIOD_SECONDS
        if grant.units and until > now:
            self._put(Lot(grant.slot, grant.units, until))
        elif grant.units:
            self._note(grant.slot, 0, grant.units)

    def tell(self, now: float) -> tuple[list[Settled], Took | None]:
        """What the ledger has to hear, once: whoever asks sends it until it is heard."""
        self._expire(now)
        if now - self.last > IDLE_SECONDS:
            self._give_back()
        settled = [Settled(self.account, self.window, slot, *sums) for slot, sums in self._settled.items()]
        took = Took(self.account, self.window, self._took) if self._took > 0 else None
        self._settled.clear()
        self._took = 0
        return settled, took

    def turn(self) -> None:
        """A period is over."""
        self._rate, self._pace = _followed(self._rate, self._used), _followed(self._pace, self._taken)
        self._used = self._taken = 0

    def ask(self, need: int, first: int) -> Ask | None:
        """For requests that wait for `need` units, of which the first wants `first`; and for those to come, as many as
        came lately.
        """
        wanted = int(self._rate * PERIODS_AHEAD[self.window]) if self._pace >= LEAST_PACE else 0
        ahead = wanted - self.units if self.units < wanted / 2 else 0
        if not need and ahead <= 0:
            return None
        return Ask(
            self.account,
            self.window,
            self.capacity,
            max(0, need - self.units),
            max(0, first - self.units),
            max(0, ahead),
        )

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self._lots or self._settled or self._took > 0 or self._pace >= LEAST_PACE)

    def close(self) -> None:
        """All that is held goes back with the next `tell`."""
        self._give_back()

    def _give_back(self) -> None:
        for lot in self._lots:
            self._note(lot.slot, 0, lot.units)
        self._lots.clear()
        self.units = 0

    def _put(self, new: Lot) -> None:
        """The first to expire stays the first."""
        self.units += new.units
        for index, lot in enumerate(self._lots):
            if lot.until == new.until and lot.slot == new.slot:
                lot.units += new.units
                break
            if lot.until > new.until:
                self._lots.insert(index, new)
                break
        else:
            self._lots.append(new)

    def _expire(self, now: float) -> None:
        while self._lots and self._lots[0].until <= now:
            lot = self._lots.popleft()
            self.units -= lot.units
            self._note(lot.slot, 0, lot.units)

    def _note(self, slot: int, spent: int, returned: int) -> None:
        """What is spent of a minute's the ledger need not know: it counts what is lent."""
        if self.window is Window.MINUTE and not returned:
            return
        sums = self._settled.setdefault(slot, [0, 0])
        sums[0] += spent if self.window is Window.DAY else 0
        sums[1] += returned

    def _count(self, units: int, now: float) -> None:
        self.last = now
        self._used += units
        self._taken += 1
        bucket = now // BUCKET_SECONDS
        if self._recent and self._recent[-1][0] == bucket:
            self._recent[-1][1] += units
        else:
            self._recent.append([bucket, units])
            while self._recent[0][0] < bucket - MINUTE_SECONDS // BUCKET_SECONDS:
                self._recent.popleft()

    def _uncount(self, units: int) -> None:
        if self._recent:
            self._recent[-1][1] -= units

    def _last_minute(self, now: float) -> float:
        oldest = now // BUCKET_SECONDS - MINUTE_SECONDS // BUCKET_SECONDS
        return sum(units for bucket, units in self._recent if bucket >= oldest)


def _followed(mean: float, now: float) -> float:
    """Up at once, down slowly."""
    return now if now > mean else mean + SMOOTHING * (now - mean)

"""What never happens to accounts, whatever is killed, lost, repeated or asked for, and whenever."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control.accounts import DAY_SECONDS, LEASE_SECONDS, MINUTE_SECONDS, SLOT_SECONDS, Ask, Reply, Report, Window
from control.gateway.ledger.book import Book, Line, Place
from serve_apps.gateway.accounts.purse import IDLE_SECONDS, PERIOD_SECONDS, Part, Purse

DAY, MINUTE = Window.DAY, Window.MINUTE
START = 20000 * DAY_SECONDS - 90.0
"""A minute and a half before midnight."""
CAPACITY = 40
SHARE = 3
"""Among so many replicas a minute's capacity is shared without a ledger; fewer run here."""

replicas = st.integers(0, SHARE - 1)
windows = st.sampled_from(Window)
units = st.sampled_from([1, 7, CAPACITY // 2, CAPACITY])


@dataclass(slots=True)
class Spend:
    """Units that the upstream counts: reserved at a moment, out of a slot, and later perhaps fewer or more."""

    window: Window
    slot: int
    at: float
    units: int
    alone: bool


@dataclass(slots=True)
class Request:
    purse: Purse
    parts: list[Part]
    at: float
    spends: list[Spend]


@dataclass
class Replica:
    """A `Bank` without its event loop: the same steps, each when the machine says so."""

    name: str
    purses: dict[Window, Purse]
    requests: list[Request] = field(default_factory=list)
    need: dict[Window, int] = field(default_factory=dict)
    untold: tuple[Report, float] | None = None
    number: int = 0


class Accounts(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now = START
        self.clock = START  # the ledger's
        self.skew = 0.0  # of it
        self.capacity = dict.fromkeys(Window, CAPACITY)
        self.stored: dict[Place, Line] = {}
        self.last: dict[str, Reply] = {}
        self.spends: list[Spend] = []
        self.born = 0
        self.book = Book(now=self.now)
        self.replicas = [self._replica() for _ in range(SHARE)]

    def _replica(self) -> Replica:
        self.born += 1
        purses = {window: Purse("account", window, self.capacity[window], self.now) for window in Window}
        return Replica(f"r{self.born}", purses)

    # Requests

    @rule(number=replicas, window=windows, need=units)
    def reserve(self, number: int, window: Window, need: int) -> None:
        """What is not held is asked for, and taken if it is lent."""
        replica = self.replicas[number]
        purse = replica.purses[window]
        purse.capacity = self.capacity[window]
        if not purse.has(need, self.now):
            self.report(number)
            self.want(number, window, need)
            self.report(number)
        if purse.has(need, self.now):
            self._take(replica, purse, purse.take(need, self.now), need)

    @rule(number=replicas, window=windows, need=units)
    def want(self, number: int, window: Window, need: int) -> None:
        """Asked for with the next report, and held."""
        self.replicas[number].need[window] = need

    @rule(number=replicas, need=units)
    def spend_when_the_lease_is_almost_over(self, number: int, need: int) -> None:
        self.report(number)
        self.want(number, MINUTE, need)
        self.report(number)
        self.wait(LEASE_SECONDS - 0.1)
        purse = self.replicas[number].purses[MINUTE]
        if purse.has(need, self.now):
            self._take(self.replicas[number], purse, purse.take(need, self.now), need)

    @rule(number=replicas, need=units)
    def reserve_alone(self, number: int, need: int) -> None:
        replica = self.replicas[number]
        parts = replica.purses[MINUTE].take_alone(need, SHARE, self.now)
        if parts is not None:
            self._take(replica, replica.purses[MINUTE], parts, need)
        assert replica.purses[DAY].take_alone(need, SHARE, self.now) is None

    def _take(self, replica: Replica, purse: Purse, parts: list[Part], need: int) -> None:
        assert sum(units for _, units, _ in parts) == need
        assert all(until >= self.now for _, _, until in parts)
        spends = [Spend(purse.window, slot, self.now, units, slot < 0) for slot, units, _ in parts]
        self.spends += spends
        replica.requests.append(Request(purse, parts, self.now, spends))

    @precondition(lambda self: any(replica.requests for replica in self.replicas))
    @rule(number=replicas, which=st.integers(0, 9), spent=st.integers(0, CAPACITY))
    def settle(self, number: int, which: int, spent: int) -> None:
        replica = self.replicas[number]
        if replica.requests:
            request = replica.requests.pop(which % len(replica.requests))
            request.purse.settle(request.parts, spent, request.at, self.now)
            for spend in request.spends:
                spend.units = min(spend.units, spent)
                spent -= spend.units

    # Reports

    def _report(self, replica: Replica) -> Report:
        if replica.untold is None:
            replica.number += 1
            settled, took, asks = [], [], []
            for window, purse in replica.purses.items():
                purse.turn()
                told, alone = purse.tell(self.now)
                settled += told
                took += [alone] if alone else []
                need = replica.need.pop(window, 0)
                asks += [ask] if (ask := purse.ask(need, need, self.now)) else []
            report = Report(replica.name, replica.number, tuple(settled), tuple(took), (), tuple(asks))
            replica.untold = report, self.now
        return replica.untold[0]

    def _ledger(self, report: Report) -> Reply:
        """As `Ledger.report` does: what it answers is written before."""
        last = self.last.get(report.holder)
        if last is None or report.number > last.number:
            self.clock = max(self.clock, self.now + self.skew)
            last = self.last[report.holder] = self.book.take(report, self.clock)
            self.stored |= {place: replace(self.book.line(place)) for place in self.book.changed}
            self.book.changed.clear()
        return last

    @rule(number=replicas)
    def report(self, number: int) -> None:
        replica = self.replicas[number]
        self._report(replica)
        self._hear(replica)

    def _hear(self, replica: Replica) -> None:
        assert replica.untold is not None
        report, made = replica.untold
        before = self.last.get(replica.name)
        reply = self._ledger(report)
        replica.untold = None
        for grant, ask in zip(reply.grants, report.asks, strict=True):
            purse = replica.purses[ask.window]
            purse.lend(grant, made + grant.lasts_s, self.now)
            if reply is before or purse.units or ask.need > ask.capacity:
                continue  # of what was said before, others may have been lent some
            if (short := purse.short(ask.need, self.now)) is not None:
                assert self._would_get(ask, short[0]) == ask.need
        for _, window in reply.wanted:
            replica.purses[window].make_tight(self.now)

    def _would_get(self, ask: Ask, wait_s: float) -> int:
        """After so long, if nothing else is lent."""
        alone = ask._replace(least=ask.need, ahead=0)
        later = self.clock + wait_s + 0.001
        return self._read_back().take(Report("later", 1, asks=(alone,)), later).grants[0].units

    @rule(number=replicas, arrives=st.booleans())
    def lose_a_report_or_its_reply(self, number: int, arrives: bool) -> None:
        report = self._report(self.replicas[number])
        if arrives:
            self._ledger(report)

    # Faults

    @rule(number=st.integers(-3, SHARE - 1))
    def kill(self, number: int) -> None:
        """A replica, or the ledger. What a replica's requests spent is spent."""
        if number >= 0:
            self.replicas[number] = self._replica()
        else:
            self.clock = self.now + self.skew
            self.book = self._read_back()

    def _read_back(self) -> Book:
        return Book([(place, replace(line)) for place, line in self.stored.items()], self.clock)

    @rule(seconds=st.sampled_from([0.1, 0.3, 0.9, 1.1, 7.0, 30.0, 59.7, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.clock = max(self.clock, self.now + self.skew)
        self.book.forget(self.clock)

    @rule(
        window=windows, capacity=st.sampled_from([CAPACITY // 2, CAPACITY]), back=st.sampled_from([0.0, 0.0, 5.0, 30.0])
    )
    def change_a_capacity_or_the_ledgers_clock(self, window: Window, capacity: int, back: float) -> None:
        self.capacity[window] = capacity
        self.skew = min(self.skew, -back)

    # What never happens

    @invariant()
    def no_day_has_more_than_its_capacity(self) -> None:
        if not hasattr(self, "spends"):
            return
        for slot in {spend.slot for spend in self.spends if spend.window is DAY}:
            assert sum(s.units for s in self.spends if s.window is DAY and s.slot == slot) <= CAPACITY

    @invariant()
    def no_minute_has_more_than_its_capacity_lent(self) -> None:
        if not hasattr(self, "spends"):
            return
        lent = [spend for spend in self.spends if spend.window is MINUTE and not spend.alone]
        for end in lent:
            assert sum(s.units for s in lent if 0 <= end.at - s.at < MINUTE_SECONDS) <= CAPACITY

    @invariant()
    def what_a_purse_says_it_has_is_what_it_has(self) -> None:
        for replica in getattr(self, "replicas", ()):
            for purse in replica.purses.values():
                assert purse.units >= 0

    def teardown(self) -> None:
        """When all requests ended and everybody is idle, what is lent comes back, unless its holder died."""
        if not hasattr(self, "spends"):
            return
        self.skew = 0.0
        self.now += LEASE_SECONDS
        for replica in self.replicas:
            for request in replica.requests:
                request.purse.settle(request.parts, 0, request.at, self.now)
        self.now += IDLE_SECONDS + PERIOD_SECONDS
        for replica in self.replicas:
            for _ in range(2):
                replica.need.clear()
                self._report(replica)
                self._hear(replica)
                self.now += LEASE_SECONDS
        living = {replica.name for replica in self.replicas}
        here = DAY.slot(self.now)
        for place, line in self.stored.items():
            if place.holder in living and place.window is DAY and place.slot == here:
                assert line.lent == 0, (place, line)
        self.now += MINUTE_SECONDS + LEASE_SECONDS + SLOT_SECONDS + 30.0
        self.book.forget(self.now)
        assert all(place.window is DAY for place in self.stored if self.book.line(place) != Line())


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 59.1, 59.6, 60.1, 62.0]), st.sampled_from([0.0, 0.5, 0.95]))))
def test_any_minute_is_within_its_capacity_however_long_units_were_held(steps: list[tuple[float, float]]) -> None:
    now, book, purse, taken = START, Book(now=START), Purse("account", MINUTE, CAPACITY, START), []
    for number, (wait_s, hold_s) in enumerate(steps, 1):
        now += wait_s
        asks = (Ask("account", MINUTE, CAPACITY, CAPACITY, 1, 0),)
        (grant,) = book.take(Report("a", number, tuple(purse.tell(now)[0]), asks=asks), now).grants
        purse.lend(grant, now + grant.lasts_s, now)
        now += hold_s
        purse.has(1, now)
        taken.append((now, sum(units for _, units, _ in purse.take(purse.units, now))))
    for end, _ in taken:
        assert sum(units for at, units in taken if 0 <= end - at < MINUTE_SECONDS) <= CAPACITY

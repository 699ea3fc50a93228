"""What a replica holds of one account."""

from __future__ import annotations

import math

from control.accounts import LEASE_SECONDS, MINUTE_SECONDS, Ask, Grant, Settled, Took, Window
from serve_apps.gateway.accounts.bank import AWAY_SECONDS
from serve_apps.gateway.accounts.purse import (
    BUCKET_SECONDS,
    IDLE_SECONDS,
    PERIOD_SECONDS,
    PERIODS_AHEAD,
    TIGHT_SECONDS,
    Purse,
)

DAY, MINUTE = Window.DAY, Window.MINUTE
NEVER = math.inf


def purse(window: Window = DAY, units: int = 0, until: float = NEVER, capacity: int = 100) -> Purse:
    made = Purse("account", window, capacity, 0.0)
    if units:
        lend(made, units, until=until)
    return made


def lend(to: Purse, units: int, *, slot: int = 7, until: float = NEVER, now: float = 0.0) -> None:
    to.lend(Grant("account", slot, units, 0.0, 0, 0.0), until, now)


def busy(window: Window = DAY, units: int = 0) -> Purse:
    """At ten requests of one unit a period."""
    made = purse(window, 10 + units)
    for _ in range(10):
        made.settle(made.take(1, 0.0), 1, 0.0, 0.0)
    made.turn()
    made.tell(0.0)
    return made


def told(of: Purse, now: float = 0.0) -> list[tuple[int, int, int]]:
    return [(slot, spent, returned) for _, _, slot, spent, returned in of.tell(now)[0]]


def test_what_is_lent_can_be_taken_and_no_more() -> None:
    it = purse(units=10)
    assert it.has(10, 0.0)
    it.take(6, 0.0)
    assert it.has(4, 0.0)
    assert not it.has(5, 0.0)


def test_units_that_expire_first_are_taken_first() -> None:
    it = purse(units=5, until=9.0)
    lend(it, 5, slot=8, until=8.0)
    assert it.take(7, 0.0) == [(8, 5, 8.0), (7, 2, 9.0)]


def test_units_that_expired_cannot_be_taken_and_go_back() -> None:
    it = purse(MINUTE, units=10, until=1.0)
    assert not it.has(1, 1.0)
    assert told(it) == [(7, 0, 10)]


def test_units_that_come_too_late_go_back() -> None:
    it = purse(MINUTE)
    lend(it, 10, until=1.0, now=1.0)
    assert not it.has(1, 1.0)
    assert told(it) == [(7, 0, 10)]


def test_what_is_settled_is_told_once_with_the_slot_it_was_lent_in() -> None:
    it = purse(units=4, until=5.0)
    lend(it, 4, slot=8, until=6.0)
    parts = it.take(6, 0.0)
    it.settle(parts, 5, 0.0, 0.0)
    assert told(it) == [(7, 4, 0), (8, 1, 1)]
    assert told(it) == []


def test_the_ledger_is_not_told_what_is_spent_of_a_minute() -> None:
    it = purse(MINUTE, units=4)
    it.settle(it.take(4, 0.0), 4, 0.0, 0.0)
    assert it.tell(0.0) == ([], None)


def test_a_busy_purse_keeps_what_a_request_did_not_need() -> None:
    it = busy(units=10)
    it.settle(it.take(5, 0.0), 1, 0.0, 0.0)
    assert it.has(9, 0.0)
    assert told(it) == [(7, 1, 0)]


def test_a_slow_purse_gives_back_what_a_request_did_not_need() -> None:
    it = purse(units=5)
    it.settle(it.take(5, 0.0), 1, 0.0, 0.0)
    assert not it.has(1, 0.0)
    assert told(it) == [(7, 1, 4)]


def test_what_a_request_did_not_need_goes_back_when_its_units_expired() -> None:
    it = busy(MINUTE)
    lend(it, 5, slot=8, until=1.0)
    it.settle(it.take(5, 0.5), 1, 0.5, 1.0)
    assert told(it, 1.0) == [(8, 0, 4)]


def test_more_than_was_taken_is_told_too() -> None:
    it = purse(units=5)
    it.settle(it.take(5, 0.0), 8, 0.0, 0.0)
    assert it.tell(0.0) == ([Settled("account", DAY, 7, 5, 0)], Took("account", DAY, 3))


def test_a_purse_whose_requests_have_not_ended_is_not_idle() -> None:
    it = purse(units=5)
    parts = it.take(5, 0.0)
    assert not it.idle(100.0)
    it.settle(parts, 1, 0.0, 100.0)
    assert not it.idle(100.0)
    it.tell(100.0)
    assert it.idle(100.0)


def test_units_are_asked_for_ahead_for_as_many_as_came_lately() -> None:
    ahead = int(10 * PERIODS_AHEAD[DAY])
    it = busy()
    assert it.ask(0, 0, 0.0) == Ask("account", DAY, 100, 0, 1, ahead)
    lend(it, ahead // 2)
    assert it.ask(0, 0, 0.0) is None


def test_nothing_is_asked_for_ahead_for_few_requests() -> None:
    it = purse(units=1)
    it.settle(it.take(1, 0.0), 1, 0.0, 0.0)
    it.turn()
    assert it.ask(0, 0, 0.0) is None
    assert it.ask(9, 4, 0.0) == Ask("account", DAY, 100, 9, 4, 0)


def test_what_is_held_is_not_asked_for() -> None:
    assert purse(units=3).ask(10, 5, 0.0) == Ask("account", DAY, 100, 7, 2, 0)


def test_an_idle_account_gets_back_what_is_held_of_it() -> None:
    it = busy(units=10)
    assert told(it, IDLE_SECONDS) == []
    assert told(it, IDLE_SECONDS + 0.1) == [(7, 0, 10)]


def test_what_somebody_else_wants_goes_back_and_none_is_held_for_a_while() -> None:
    it = busy(units=10)
    parts = it.take(5, 0.0)
    it.make_tight(0.0)
    it.settle(parts, 1, 0.0, 1.0)
    assert told(it, 1.0) == [(7, 1, 9)]
    assert it.ask(0, 0, TIGHT_SECONDS - 0.1) is None
    assert it.ask(0, 0, TIGHT_SECONDS) is not None


def short(it: Purse, frees: tuple[tuple[float, int], ...], *, left: int = 0, spent: int = 0, now: float = 0.0) -> None:
    it.lend(Grant("account", 7, 0, 0.0, left, 0.0, frees, spent), NEVER, now)


def test_a_wait_is_as_long_as_the_own_need_takes_to_come_back() -> None:
    it = purse(MINUTE)
    short(it, ((10.0, 5), (20.0, 5)), left=2)
    assert it.short(2, 0.0) is None
    assert [it.short(need, 0.1) for need in (7, 8, 12)] == [(9.9, False), (19.9, False), (19.9, False)]
    assert it.short(13, 0.1) == (math.inf, False)


def test_a_shortage_is_spent_for_those_whose_need_does_not_fit_beside_what_is_spent() -> None:
    it = purse()
    short(it, ((10.0, 100),), spent=95)
    assert it.short(5, 0.0) == (10.0, False)
    assert it.short(6, 0.0) == (10.0, True)


def test_of_a_shortage_the_ledger_is_asked_again_after_a_period() -> None:
    it = purse()
    short(it, ((10.0, 100),))
    assert it.short(1, PERIOD_SECONDS - 0.01) is not None
    assert it.short(1, PERIOD_SECONDS) is None


def test_without_a_ledger_nothing_of_a_day_is_taken() -> None:
    assert purse(DAY).take_alone(1, 1, 0.0) is None


def test_without_a_ledger_a_replica_takes_its_share_of_any_minute() -> None:
    it = purse(MINUTE)
    assert it.take_alone(30, 3, 0.0) is not None
    assert it.take_alone(4, 3, 0.0) is None
    assert it.take_alone(3, 3, 4.9) is not None
    assert it.take_alone(1, 3, MINUTE_SECONDS - 0.1) is None
    assert it.take_alone(33, 3, MINUTE_SECONDS + BUCKET_SECONDS) is not None


def test_what_was_lent_counts_towards_the_share_of_the_minute() -> None:
    it = purse(MINUTE, units=30)
    it.take(30, 0.0)
    assert it.take_alone(4, 3, 1.0) is None


def test_what_a_request_did_not_need_is_free_in_the_minute_in_which_it_was_taken_only() -> None:
    it = purse(MINUTE)
    early = it.take_alone(33, 3, 0.0)
    assert early is not None
    it.settle(early, 0, 0.0, 58.0)
    assert it.take_alone(33, 3, 58.0) is not None
    assert it.take_alone(1, 3, 70.0) is None


def test_what_was_taken_without_a_ledger_is_told_less_what_came_back_before() -> None:
    it = purse(MINUTE)
    one, two = it.take_alone(20, 3, 0.0), it.take_alone(5, 3, 0.0)
    assert one is not None
    assert two is not None
    it.settle(one, 8, 0.0, 1.0)
    assert it.tell(1.0) == ([], Took("account", MINUTE, 13))
    it.settle(two, 0, 0.0, 2.0)
    assert it.take_alone(6, 3, 2.0) is not None
    assert it.tell(3.0) == ([], Took("account", MINUTE, 6))


def test_what_was_taken_without_a_ledger_is_remembered_for_its_minute() -> None:
    it = purse(MINUTE)
    parts = it.take_alone(1, 1, 0.0)
    assert parts is not None
    it.settle(parts, 1, 0.0, 0.0)
    it.tell(0.0)
    assert not it.idle(MINUTE_SECONDS)
    assert it.idle(MINUTE_SECONDS + BUCKET_SECONDS)


def test_a_lease_is_as_long_as_anybody_waits_for_the_ledger() -> None:
    assert AWAY_SECONDS <= LEASE_SECONDS

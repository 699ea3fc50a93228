"""What is lent, to whom, and what is said where nothing can be."""

from __future__ import annotations

from typing import Any

import pytest

from control.accounts import (
    DAY_SECONDS,
    LEASE_SECONDS,
    MINUTE_SECONDS,
    SLOT_SECONDS,
    Ask,
    Grant,
    Reply,
    Report,
    Settled,
    Took,
    Window,
)
from control.gateway.ledger.book import LOST_SECONDS, Book, Line, Place

NOON = 20000 * DAY_SECONDS + 43200.0
TODAY = Window.DAY.slot(NOON)


def day(need: int, *, capacity: int = 100, least: int = 1, ahead: int = 0) -> Ask:
    return Ask("cost", Window.DAY, capacity, need, least, ahead)


def minute(need: int, *, capacity: int = 100, least: int = 1, ahead: int = 0) -> Ask:
    return Ask("requests", Window.MINUTE, capacity, need, least, ahead)


def spent(units: int, returned: int = 0, slot: int = TODAY) -> Settled:
    return Settled("cost", Window.DAY, slot, units, returned)


class Told:
    """Reports to one book, numbered by it."""

    def __init__(self, book: Book | None = None) -> None:
        self.book = book or Book(now=NOON)
        self._number = 0

    def __call__(self, *asks: Ask, by: str = "a", at: float = NOON, **what: Any) -> Reply:
        self._number += 1
        return self.book.take(Report(by, self._number, asks=asks, **what), at)

    def grant(self, ask: Ask, by: str = "a", at: float = NOON) -> Grant:
        (grant,) = self(ask, by=by, at=at).grants
        return grant


def test_what_is_needed_is_lent_as_long_as_there_is_some() -> None:
    told = Told()
    assert [told.grant(day(40)).units for _ in range(3)] == [40, 40, 20]
    assert told.grant(day(1)).units == 0


def test_what_is_lent_to_one_holder_is_not_there_for_another() -> None:
    told = Told()
    told.grant(day(100), by="a")
    assert told.grant(day(1), by="b").units == 0


def test_accounts_of_one_name_and_two_windows_are_two() -> None:
    told = Told()
    told(day(100))
    assert told.grant(Ask("cost", Window.MINUTE, 100, 100, 1, 0)).units == 100


def test_ahead_no_more_than_a_quarter_of_what_is_left_is_lent() -> None:
    told = Told()
    assert told.grant(day(20, ahead=1000)).units == 20 + 20
    assert told.grant(day(0, ahead=5)).units == 5


def test_a_remainder_that_no_request_can_use_is_not_lent() -> None:
    told = Told()
    told.grant(day(93))
    assert told.grant(day(10, least=5)).units == 5
    assert told.grant(day(10, least=5)).units == 0


def test_what_is_returned_is_lent_again() -> None:
    told = Told()
    told.grant(day(100))
    told(settled=(spent(30, returned=70),))
    assert told.grant(day(100), by="b") == Grant("cost", TODAY, 70, 43200.0, 0, 43200.0, ((43200.0, 100),), 30)


def test_what_is_spent_is_not_lent_again_before_midnight() -> None:
    told = Told()
    told.grant(day(100))
    told(settled=(spent(100),))
    assert told.grant(day(1), at=NOON + 43199.0).units == 0
    assert told.grant(day(100), at=NOON + 43200.0).units == 100


def test_what_is_returned_after_midnight_is_of_no_use_on_the_new_day() -> None:
    told = Told()
    told.grant(day(100))
    tomorrow = NOON + 43200.0
    told.grant(day(100), at=tomorrow)
    told(settled=(spent(0, returned=100),), at=tomorrow)
    assert told.grant(day(1), at=tomorrow).units == 0


def test_what_another_holder_was_lent_cannot_be_returned() -> None:
    told = Told()
    told.grant(day(100), by="a")
    told(settled=(spent(0, returned=100),), by="b")
    assert told.grant(day(1)).units == 0


def test_a_minute_counts_for_a_minute_after_the_last_moment_at_which_it_may_be_spent() -> None:
    told = Told()
    grant = told.grant(minute(100))
    assert grant.lasts_s == LEASE_SECONDS
    free = NOON + SLOT_SECONDS + LEASE_SECONDS + MINUTE_SECONDS
    assert told.grant(minute(1), at=free - 0.001).units == 0
    assert told.grant(minute(100), at=free).units == 100


def test_units_of_a_day_last_until_midnight() -> None:
    assert Told().grant(day(1), at=NOON + 43199.0).lasts_s == 1.0


def test_what_was_taken_without_asking_counts_even_above_the_capacity() -> None:
    told = Told()
    told(took=(Took("requests", Window.MINUTE, 150),))
    grant = told.grant(minute(10))
    assert (grant.units, grant.left) == (0, 0)


def test_what_comes_back_is_told_by_when_and_how_much() -> None:
    told = Told()
    told.grant(minute(60), by="a")
    told.grant(minute(30), by="b")
    told.grant(minute(10), at=NOON + 10.0)
    grant = told.grant(minute(1), at=NOON + 20.0)
    length = SLOT_SECONDS + LEASE_SECONDS + MINUTE_SECONDS
    assert grant.frees == ((length - 20.0, 90), (length - 10.0, 10))
    assert grant.full_s == length - 10.0


def test_of_what_comes_back_first_that_is_taken_which_is_above_the_capacity() -> None:
    told = Told()
    told.grant(minute(60))
    told.grant(minute(40), at=NOON + 10.0)
    grant = told.grant(minute(1, capacity=30), at=NOON + 20.0)
    assert [units for _, units in grant.frees] == [30]


def test_who_gets_what_it_needs_is_told_nothing_of_a_shortage() -> None:
    grant = Told().grant(day(100))
    assert (grant.frees, grant.spent) == ((), 0)


def test_what_is_lent_and_not_spent_is_not_called_spent() -> None:
    told = Told()
    told.grant(day(100))
    told(settled=(spent(40),))
    assert told.grant(day(1), by="b").spent == 40


def test_what_a_holder_has_that_is_not_heard_of_any_more_is_called_spent() -> None:
    told = Told()
    told.grant(day(100))
    assert told.grant(day(1), by="b", at=NOON + LOST_SECONDS).spent == 0
    assert told.grant(day(1), by="b", at=NOON + LOST_SECONDS + 0.1).spent == 100


def test_holders_of_what_somebody_lacks_for_a_day_are_told_once() -> None:
    told = Told()
    told.grant(day(50), by="a")
    told.grant(day(50), by="b")
    assert told(day(1), by="c").wanted == ()
    assert told(by="a").wanted == (("cost", Window.DAY),)
    assert told(by="a").wanted == ()
    assert told(by="b").wanted == (("cost", Window.DAY),)


def test_who_spent_everything_it_was_lent_is_not_asked_for_it() -> None:
    told = Told()
    told.grant(day(100), by="a")
    told(settled=(spent(100),), by="a")
    told(day(1), by="b")
    assert told(by="a").wanted == ()


def test_a_smaller_capacity_holds_from_the_next_loan_on() -> None:
    told = Told()
    told.grant(day(50))
    assert told.grant(day(10, capacity=40)).units == 0
    assert told.grant(day(100, capacity=120)).units == 70


def test_a_clock_that_goes_back_stands_still() -> None:
    told = Told()
    told.grant(minute(100), at=NOON + 100.0)
    assert told.grant(minute(1), at=NOON).units == 0
    assert told.grant(minute(1), at=NOON + 100.0 + 61.9).units == 1


def test_a_ledger_that_begins_on_an_earlier_clock_frees_each_slot_in_its_time() -> None:
    later = Window.MINUTE.slot(NOON + 3600.0)
    told = Told(Book([(Place("requests", Window.MINUTE, later, "a"), Line(40))], NOON))
    assert told.grant(minute(60)).units == 60
    assert told.grant(minute(60), at=NOON + 62.0).units == 60


def test_a_book_reads_its_lines_back() -> None:
    told = Told()
    told.grant(day(70), by="a")
    told(settled=(spent(10, returned=20),), by="a")
    told.grant(minute(5), by="b")
    lines = [(place, told.book.line(place)) for place in told.book.changed]
    again = Told(Book(lines, NOON))
    assert again.grant(day(100), by="b").units == 50
    assert again.grant(minute(100), by="a").units == 95


def test_what_is_over_is_forgotten() -> None:
    told = Told()
    told.grant(day(5))
    told.grant(minute(5))
    place = Place("cost", Window.DAY, TODAY, "a")
    told.book.forget(NOON + 43199.0)
    assert told.book.line(place) == Line(5)
    assert len(told.book) == 1
    told.book.forget(NOON + 43200.0)
    assert told.book.line(place) == Line()
    assert len(told.book) == 0


@pytest.mark.parametrize("window", Window)
def test_every_moment_is_in_a_slot_that_has_not_ended(window: Window) -> None:
    for now in (NOON, NOON - 1e-6, NOON + 0.499, NOON + 43199.999):
        assert window.ends(window.slot(now)) > now

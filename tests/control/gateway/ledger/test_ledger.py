"""The ledger on each database: what it tells is written, once, and by one process only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control.accounts import Ask, Counts, Report, Settled, Took, Usage, Window
from control.gateway.ledger.ledger import SWEEP_SECONDS, Ledger
from control.gateway.ledger.records import Records, Superseded
from control.kernel.database import Unavailable
from tests.fakes.clock import FakeClock

DAY, MINUTE = Window.DAY, Window.MINUTE
WHO = Usage("2026-01-02", "key", "org", "chat", "openai")


class Failing(Records):
    """Loses the connection before or after the commit of a report, once."""

    fails = ""

    def write(self, *report: object) -> None:
        fails, self.fails = self.fails, ""
        if fails == "before":
            raise Unavailable("lost")
        super().write(*report)  # type: ignore[arg-type]
        if fails == "after":
            raise Unavailable("lost")


@pytest.fixture
def records(url: str) -> Iterator[Failing]:
    records = Failing(url)
    yield records
    records.close()


@pytest.fixture
def other(url: str, records: Records) -> Iterator[Records]:
    """Of another process."""
    other = Records(url)
    yield other
    other.close()


def ask(need: int, window: Window = DAY) -> tuple[Ask, ...]:
    return (Ask("account", window, 100, need, 1, 0),)


def lent(ledger: Ledger, report: Report) -> int:
    return sum(grant.units for grant in ledger.report(report).grants)


def test_a_report_that_is_repeated_is_taken_once_and_answered_alike(records: Records) -> None:
    ledger = Ledger(records, FakeClock())
    report = Report("a", 1, asks=ask(60), usage=((WHO, Counts(requests=1)),))
    assert ledger.report(report) == ledger.report(report)
    assert lent(ledger, Report("b", 1, asks=ask(100))) == 40
    assert list(records.used("2026-01-01", "2026-01-31")) == [(WHO, Counts(requests=1))]


def test_a_new_ledger_answers_what_the_last_one_was_told_alike(records: Records, other: Records) -> None:
    clock = FakeClock()
    report = Report("a", 1, asks=ask(100))
    ledger = Ledger(records, clock)
    ledger.report(Report("b", 1, asks=ask(30)))
    first = ledger.report(report)
    assert first.grants[0].frees
    again = Ledger(other, clock)
    assert again.report(report) == first
    assert lent(again, Report("c", 1, asks=ask(100))) == 0


def test_a_late_copy_of_an_older_report_is_not_taken(records: Records) -> None:
    ledger = Ledger(records, FakeClock())
    for number in (1, 2, 1):
        ledger.report(Report("a", number, took=(Took("account", MINUTE, 10),)))
    assert lent(ledger, Report("b", 1, asks=ask(100, MINUTE))) == 80


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_report_whose_write_fails_is_taken_once_when_it_is_repeated(records: Failing, fails: str) -> None:
    ledger = Ledger(records, FakeClock())
    ledger.report(Report("a", 1, asks=ask(50)))
    report = Report("a", 2, settled=(Settled("account", DAY, 0, 10, 20),), usage=((WHO, Counts(cost=7)),))
    records.fails = fails
    with pytest.raises(Unavailable):
        ledger.report(report)
    ledger.report(report)
    assert lent(ledger, Report("b", 1, asks=ask(100))) == 70
    assert list(records.used("2026-01-02", "2026-01-02")) == [(WHO, Counts(cost=7))]


def test_an_older_ledger_cannot_write_nor_come_back(records: Records, other: Records) -> None:
    old, new = Ledger(records, FakeClock()), Ledger(other, FakeClock())
    for _ in range(2):
        with pytest.raises(Superseded):
            old.report(Report("a", 1, asks=ask(100)))
    assert lent(new, Report("b", 1, asks=ask(100))) == 100


def test_usage_adds_up_by_day(records: Records) -> None:
    ledger = Ledger(records, FakeClock())
    later = WHO._replace(day="2026-01-03")
    for number, day in enumerate([WHO, WHO, later], 1):
        ledger.report(Report("a", number, usage=((day, Counts(1, 0, 0, 5, 4, 3, 2, 1)),)))
    assert list(records.used("2026-01-02", "2026-01-03")) == [
        (WHO, Counts(2, 0, 0, 10, 8, 6, 4, 2)),
        (later, Counts(1, 0, 0, 5, 4, 3, 2, 1)),
    ]
    assert list(records.used("2026-01-04", "2026-02-01")) == []


def test_what_is_over_is_swept_out_of_the_store(records: Records) -> None:
    clock = FakeClock()
    ledger = Ledger(records, clock)
    ledger.report(Report("a", 1, asks=ask(5, MINUTE)))
    clock.tick(MINUTE.ends(MINUTE.slot(clock.now)) - clock.now + SWEEP_SECONDS)
    ledger.report(Report("a", 2, asks=ask(5)))
    assert [place.window for place, _ in records.lines(0.0)] == [DAY]


def test_a_report_with_nothing_in_it_is_answered_without_a_write(records: Failing) -> None:
    ledger = Ledger(records, FakeClock())
    ledger.report(Report("a", 1, asks=ask(100)))
    ledger.report(Report("b", 1, asks=ask(100)))
    records.fails = "before"
    assert ledger.report(Report("a", 2)).wanted == (("account", DAY),)

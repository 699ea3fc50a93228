"""What is expected to be asked for."""

from __future__ import annotations

import pytest

from control.scheduler.demand import NOTHING_KNOWN, PRIOR, TYPICAL, Demand
from control.scheduler.state import Ask


def test_equal_asks_are_counted() -> None:
    one, two = Ask(devices=1), Ask(devices=2)
    assert Demand.of([one, two, one]) == Demand((one, two), (2.0, 1.0))


def test_when_nothing_is_known_the_prior_is_expected() -> None:
    assert NOTHING_KNOWN.typical() == Demand(PRIOR, (1 / len(PRIOR),) * len(PRIOR))


def test_the_prior_counts_as_one_piece_however_much_was_seen() -> None:
    typical = Demand.of([Ask(devices=3)] * 99).typical()
    assert sum(typical.weights) == pytest.approx(100)
    assert typical.weights[0] == 99


def test_work_without_devices_is_not_typical() -> None:
    assert Demand.of([Ask(cpu=1000)]).typical() == NOTHING_KNOWN.typical()


def test_of_many_asks_those_that_want_most_devices_are_typical() -> None:
    small = [Ask(devices=1, milli=100, cpu=cpu) for cpu in range(TYPICAL)]
    large = Ask(devices=8)
    typical = Demand.of([*small, large]).typical()
    assert typical.asks[0] == large
    assert len(typical.asks) == TYPICAL + len(PRIOR)

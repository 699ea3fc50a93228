"""Who leads next: nobody who lacks what was acknowledged, and nobody while too few have promised."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.specs.replica import Promise
from control.vectors.election import choose, enough, quorum, shortfall


def promises(**logs: tuple[int, int]) -> dict[int, Promise]:
    return {int(number.removeprefix("r")): Promise(9, *log) for number, log in logs.items()}


@pytest.mark.parametrize("members", range(1, 10))
def test_enough_have_promised_exactly_when_the_rest_are_no_quorum(members: int) -> None:
    config = tuple(range(members))
    for count in range(members + 1):
        assert enough([config], config[:count]) == (members - count < quorum(members))


def test_every_membership_that_may_have_committed_is_asked() -> None:
    configs = [(0, 1, 2), (0, 1, 2, 3)]
    assert not enough(configs, (2, 3))
    assert enough(configs, (1, 2))
    assert shortfall(configs, (2, 3)) == "1 of its 3 replicas answer; 2 are needed to lose nothing acknowledged"
    assert shortfall(configs, (1, 2)) == ""


def test_the_greatest_log_leads_by_epoch_first() -> None:
    assert choose([(0, 1, 2)], promises(r0=(1, 90), r1=(2, 10)), ()) == 1
    assert choose([(0, 1, 2)], promises(r0=(2, 9), r1=(2, 10), r2=(2, 10)), ()) == 1


def test_of_equal_logs_the_one_that_is_liked_leads() -> None:
    equal = promises(r0=(2, 5), r1=(2, 5), r2=(2, 5))
    assert choose([(0, 1, 2)], equal, (2, 0)) == 2
    assert choose([(0, 1, 2)], equal, (1,)) == 1


def test_too_few_promises_choose_nobody() -> None:
    assert choose([(0, 1, 2)], promises(r0=(2, 5)), (0,)) is None
    assert choose([(0, 1)], promises(r1=(2, 5)), (0,)) == 1, "of two, each has what both had to have"
    assert choose([], {}, ()) is None


def test_who_is_no_member_of_anything_is_not_asked() -> None:
    assert choose([(0, 1, 2)], promises(r0=(2, 5), r7=(9, 9)), ()) is None


def test_who_lost_entries_counts_only_when_nobody_is_left_to_ask() -> None:
    lost = Promise(9, 2, 1, lost=True)
    whole = promises(r1=(2, 5), r2=(2, 4))
    assert choose([(0, 1, 2)], {0: lost, 1: whole[1]}, ()) is None
    assert choose([(0, 1, 2)], {0: lost, **whole}, ()) == 1
    assert choose([(0,)], {0: lost}, ()) == 0


@given(st.data())
def test_whoever_is_chosen_has_all_that_a_quorum_of_any_membership_had(data: st.DataObject) -> None:
    """Entries are numbers of one epoch; what a quorum of a membership has is acknowledged."""
    configs = data.draw(st.lists(st.sets(st.integers(0, 5), min_size=1).map(tuple), min_size=1, max_size=3))
    logs = {number: data.draw(st.integers(0, 5)) for number in range(6)}
    asked = data.draw(st.sets(st.integers(0, 5)))
    chosen = choose(configs, {number: Promise(9, 1, logs[number]) for number in asked}, ())
    for config in configs:
        for group in itertools.combinations(config, quorum(len(config))):
            if chosen is not None:
                assert logs[chosen] >= min(logs[number] for number in group)

from dataclasses import replace

import pytest

from actors.vectors.replication.errors import Degraded, Fenced
from actors.vectors.replication.hard_state import HardState, Role
from actors.vectors.replication.term import term_of
from control.specs.replica import Assignment

THREE = ("a", "b", "c")
LEADER = HardState().lead("a", Assignment(3, "a", THREE))


def test_who_promised_refuses_everything_of_before() -> None:
    state = HardState().promise(5)
    with pytest.raises(Fenced):
        state.promise(4)
    with pytest.raises(Fenced):
        state.lead("a", Assignment(4, "a", THREE))
    with pytest.raises(Fenced):
        state.follow("b", Assignment(4, "a", THREE))
    with pytest.raises(Fenced):
        state.hear(term_of(4), "a")


def test_a_leader_that_promises_leads_no_more() -> None:
    assert LEADER.leads
    assert not LEADER.promise(4).leads
    assert LEADER.promise(3).leads


def test_a_leader_does_not_listen_to_itself_nor_follow_in_its_own_epoch() -> None:
    with pytest.raises(Fenced):
        LEADER.hear(LEADER.term, "a")
    with pytest.raises(Fenced):
        LEADER.follow("a", Assignment(3, "b", THREE))


def test_a_leader_that_begins_again_writes_another_term_of_its_epoch() -> None:
    again = LEADER.begin_again(lost=False)
    assert again.leads
    assert again.term > LEADER.term
    assert again.epoch == 3
    assert again.term < term_of(4)


def test_a_leader_whose_disk_lost_entries_leads_no_more_unless_it_is_alone() -> None:
    assert not LEADER.begin_again(lost=True).leads
    assert replace(LEADER, members=("a",)).begin_again(lost=True).leads


def test_who_lost_entries_after_it_promised_does_not_lead() -> None:
    with pytest.raises(Degraded):
        replace(HardState().promise(4), lost=True).lead("a", Assignment(4, "a", THREE))


def test_who_said_so_when_it_promised_may_lead() -> None:
    assert replace(HardState(), lost=True).promise(4).lead("a", Assignment(4, "a", THREE)).leads


def test_nobody_leads_or_follows_as_what_it_is_not() -> None:
    with pytest.raises(ValueError, match="none of its members"):
        HardState().lead("d", Assignment(1, "d", THREE))
    assert HardState().follow("d", Assignment(1, "a", THREE)).role is Role.LEARNER


def test_it_reads_back_as_it_was_written() -> None:
    assert HardState.from_json(LEADER.to_json()) == LEADER

import json
from dataclasses import replace

import pytest

from actors.vectors.replication.errors import Degraded, Fenced
from actors.vectors.replication.hard_state import HardState, Role
from actors.vectors.replication.term import term_of
from control.specs.replica import Assignment, Fill, Move, Source

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


FILL = Fill(1, 2, (Source(("x", "y"), 0, 1),))


def test_of_two_orders_of_one_epoch_the_older_one_changes_nothing() -> None:
    closed = HardState().lead("a", Assignment(3, "a", THREE, (), 7, Move(True, 2)))
    assert closed.lead("a", Assignment(3, "a", THREE, (), 6, Move(True))) == closed
    assert closed.lead("a", Assignment(3, "a", THREE, (), 8, Move(True))).move.closed == 0


def test_clients_write_to_a_leader_that_has_all_rows_and_to_no_other() -> None:
    filling = HardState().lead("a", Assignment(3, "a", THREE, (), 1, Move(fill=FILL)))
    last = filling.lead("a", Assignment(3, "a", THREE, (), 2, Move(fill=replace(FILL, attempt=4))))
    filled = replace(last, filled=4, position=9)
    assert [one.serves for one in (LEADER, filling, last, filled)] == [True, False, False, True]
    again = filled.lead("a", Assignment(3, "a", THREE, (), 3, Move(fill=replace(FILL, attempt=0))))
    assert not again.serves
    assert filled.begin_again(lost=False).serves
    assert not filled.lead("a", Assignment(4, "a", THREE, (), 4, Move(fill=replace(FILL, attempt=4)))).serves


def test_what_is_on_the_disk_is_what_it_was_and_an_older_form_is_read() -> None:
    state = HardState().lead("a", Assignment(3, "a", THREE, ("d",), 7, Move(True, 2, FILL)))
    body = json.loads(json.dumps(state.to_json()))
    assert HardState.from_json(body) == state
    for name in ("number", "move", "filled", "position"):
        del body[name]
    assert HardState.from_json(body) == replace(state, number=0, move=Move())

"""The scheduler's answer as those who asked read it."""

from __future__ import annotations

from control.kernel.placement import Placement, placement_of
from control.specs.step import GrantPiece

PIECE = {"node": "sim-0", "node_id": "n1", "resource": "sim-gpu", "devices": ["d0", "d1"], "milli": 1000, "cpu": 0}
LEASE = {"pieces": [PIECE], "since": 0.0}
GRANTED = (GrantPiece("sim-gpu", "n1", ("d0", "d1")),)


def test_before_the_scheduler_has_looked_there_is_a_reason_to_read() -> None:
    assert placement_of({}, ["n1"]) == Placement("the scheduler has not answered yet")


def test_a_lease_on_a_live_node_is_granted() -> None:
    found = placement_of({"phase": "Leased", "reason": "why", "lease": LEASE}, ["n1"])
    assert found == Placement("why", GRANTED)
    assert found.granted


def test_a_lease_on_the_former_life_of_a_node_is_not_granted() -> None:
    assert not placement_of({"phase": "Leased", "reason": "why", "lease": LEASE}, ["n2"]).granted


def test_a_gang_of_which_one_node_is_gone_is_not_granted() -> None:
    lease = {"pieces": [PIECE, {**PIECE, "node_id": "n2"}], "since": 0.0}
    assert placement_of({"lease": lease}, ["n1", "n2"]).granted
    assert not placement_of({"lease": lease}, ["n1"]).granted


def test_who_has_to_stop_knows_what_it_holds_and_until_when_and_is_granted_nothing() -> None:
    eviction = {"by": "urgent", "deadline": 30.0}
    found = placement_of({"phase": "Evicting", "reason": "why", "lease": LEASE, "eviction": eviction}, ["n1"])
    assert found == Placement("why", GRANTED, evicted="why", deadline=30.0)
    assert not found.granted


def test_a_pending_workload_has_only_its_reason() -> None:
    found = placement_of({"phase": "Pending", "reason": "sim-0 is full", "lease": None}, ["n1"])
    assert (found.reason, found.granted) == ("sim-0 is full", False)

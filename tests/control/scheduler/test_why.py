"""What `biplane explain` says of one workload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control.scheduler.decide import decide
from control.scheduler.state import Kind, Lease, Queue
from control.scheduler.why import Why, why
from tests.control.scheduler.world import after, leased, node, settled, sliced, snapshot, workload

HIGH, LOW = "critical-inference", "batch-scoring"
NODES = [node("a", 4), node("b", 2)]


def said(found: Why, part: str) -> bool:
    return any(part in sentence for sentence in found.sentences)


def test_who_waits_hears_its_place_in_the_queue_and_each_nodes_first_failing_rule() -> None:
    held = leased(workload("held", 3), nodes=NODES)
    asks = [workload("first", 4, created_at=1.0), workload("second", 4, created_at=2.0)]
    found = why("second", settled(snapshot(NODES, [*held, *asks])))
    assert said(found, "it is number 2 of 2 who wait")
    assert dict(found.nodes) == {
        "a": "a has 1 of its 4 H100 free, 4 are asked for",
        "b": "b has 2 H100, 4 are asked for",
    }


def test_who_waits_hears_when_it_is_expected_to_start_and_after_whom() -> None:
    held = leased(workload("held", 4, duration=600.0), nodes=NODES)
    found = why("next", settled(snapshot(NODES, [*held, workload("next", 4)], now=60.0)))
    assert said(found, "it would fit on a once enough of held have left, in about 9 min")
    unknown = tuple(replace(w, duration=0.0) for w in held)
    assert said(why("next", settled(snapshot(NODES, [*unknown, workload("next", 4)]))), "nobody knows when")


def test_what_could_never_be_had_is_told_from_what_only_has_to_wait() -> None:
    found = why("w", settled(snapshot(NODES, [workload("w", 9)])))
    assert found.sentences[0].startswith("it can never be placed on these nodes: ")


def test_a_quota_that_is_used_up_says_by_how_much() -> None:
    queues = (Queue("ours", quota=4),)
    held = leased(workload("held", 4, queue="ours"), nodes=NODES, queues=queues)
    found = why("w", settled(snapshot(NODES, [*held, workload("w", 2, queue="ours")], queues=queues)))
    assert said(found, "queue ours uses 4 of its 4 devices")


def test_without_preemption_it_says_whom_preemption_would_stop() -> None:
    held = leased(workload("low", 4, priority=LOW), nodes=NODES)
    waiting = [*held, workload("high", 4, priority=HIGH)]
    assert said(why("high", settled(snapshot(NODES, waiting))), "preemption is off; with it low would have to stop")


def test_who_has_others_stopped_and_who_has_to_stop_both_say_so() -> None:
    held = leased(workload("low", 4, priority=LOW), nodes=NODES)
    before = snapshot(NODES, [*held, workload("high", 4, priority=HIGH)], preemption=True, now=10.0)
    told = replace(after(before, decide(before)), now=15.0)
    assert "low has to stop for it" in why("high", told).sentences
    assert "it has 25 s left to save its work, then it waits for devices again" in why("low", told).sentences


def test_who_runs_says_how_often_it_was_stopped_and_when_it_says_that_it_ends() -> None:
    (held,) = leased(workload("w", 1, duration=7200.0), nodes=NODES)
    assert held.lease is not None
    found = why("w", snapshot(NODES, [replace(held, evictions=2, lease=Lease(held.lease.pieces, 0.0))], now=7100.0))
    assert said(found, "it was stopped for others 2 times; after 5 times it stays")
    assert said(found, "it says that it ends in 100 s")


def test_there_is_nothing_to_say_of_what_nobody_knows() -> None:
    with pytest.raises(KeyError):
        why("nobody", snapshot(NODES, []))


def test_who_asks_for_a_slice_hears_of_slices() -> None:
    nodes = [sliced("cut", "1g.10gb"), node("whole", 2)]
    asks = [workload(name, slice="1g.10gb", milli=125, priority=HIGH, created_at=n) for n, name in enumerate("ab")]
    found = why("b", settled(snapshot(nodes, asks)))
    assert dict(found.nodes) == {
        "cut": "cut has 0 of its 1 1g.10gb slices free",
        "whole": "whole has no 1g.10gb slice",
    }


@pytest.mark.parametrize(
    ("why_not", "says"),
    [({"priority": "typo"}, "no priority class"), ({"failed_binds": 5}, "apply it again")],
    ids=["class", "binds"],
)
def test_who_is_turned_away_hears_that_and_not_that_it_is_others_turn(why_not: dict[str, Any], says: str) -> None:
    found = why("w", settled(snapshot([node()], [workload("w", kind=Kind.TRAINING, **why_not)])))
    assert len(found.sentences) == 1
    assert says in found.sentences[0]
    assert dict(found.nodes)["n0"] == f"would fit, but {found.sentences[0]}"


def test_a_node_where_only_the_quota_is_missing_says_so() -> None:
    queues = (Queue("ours", quota=0),)
    found = why("w", settled(snapshot([node()], [workload("w", queue="ours")], queues=queues)))
    assert dict(found.nodes)["n0"].startswith("would fit, but queue ours uses 0 of its 0 devices")

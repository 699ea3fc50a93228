"""Why nothing fits, and why nobody looks for a place."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.decide import DEFAULT_PRIORITIES
from control.scheduler.refusal import MAX_BINDS, refusals, turned_away, why_not
from control.scheduler.state import Kind, Node, Rules, Sharing, SliceProfile
from control.scheduler.stock import Stock
from tests.control.scheduler.world import GIB, node, sliced, workload

RULES = Rules(DEFAULT_PRIORITIES)
HIGH = "critical-inference"


def stock(*nodes: Node) -> Stock:
    return Stock.of(nodes, Sharing())


def test_no_place_is_looked_for_in_a_class_that_nobody_declared() -> None:
    assert turned_away(workload(priority="typo"), RULES, 0.0) == (
        "there is no priority class 'typo'; there are: batch-scoring, critical-inference, training"
    )
    assert turned_away(workload(), RULES, 0.0) == ""


def test_who_could_not_be_bound_rests_longer_each_time_and_is_given_up_in_the_end() -> None:
    again = workload(failed_binds=1, waiting_since=100.0)
    assert "rests" in turned_away(again, RULES, 109.0)
    assert turned_away(again, RULES, 110.0) == ""
    assert "rests" in turned_away(replace(again, failed_binds=2), RULES, 119.0)
    assert "apply it again" in turned_away(replace(again, failed_binds=MAX_BINDS), RULES, 1e9)


def test_shares_are_for_inference_unless_the_rules_say_otherwise() -> None:
    half = workload(milli=500)
    assert "for inference" in turned_away(half, RULES, 0.0)
    assert turned_away(replace(half, kind=Kind.INFERENCE), RULES, 0.0) == ""
    assert turned_away(replace(half, slice="3g.40gb", kind=Kind.BATCH), RULES, 0.0) == ""
    assert turned_away(half, replace(RULES, sharing=Sharing(4, training=True)), 0.0) == ""


def test_where_a_slice_or_a_device_would_do_both_rules_are_told() -> None:
    profile = SliceProfile("1g.10gb", 40.0, 1.0, GIB)
    served = replace(workload("w", priority=HIGH), latency_ms=50.0, profiles=(profile,))
    there = stock(sliced("cut", "1g.10gb"), node("whole", 1), sliced("other", "3g.40gb"))
    assert refusals(served, there) == {
        "cut": "",
        "other": "other has no 1g.10gb slice; other has 0 H100-80GB, 1 are asked for",
        "whole": "",
    }


def test_enough_slices_one_by_one_are_told_from_enough_together() -> None:
    two = replace(workload("w", 2, priority=HIGH), slice="1g.10gb", replicas=2)
    assert why_not(two, stock(sliced("m", "1g.10gb"))) == "a 1g.10gb slice is free, not 2 of them together"


def test_the_reasons_of_many_nodes_are_counted_and_the_rarest_left_out() -> None:
    many = [node(f"n{index}-{size}", size) for size in range(1, 7) for index in range(size)]
    told = why_not(workload(devices=8), stock(*many)).split("; ")
    assert told == [f"{size} nodes: has {size} H100, 8 are asked for" for size in (6, 5, 4, 3)]

"""Who may have how much: quotas, cohorts, reclaiming, and the order of those who wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.scheduler.queue import order
from control.scheduler.state import Queue
from tests.control.scheduler.tenants import CLASSES, asks, holds, quotas, refusal

ORG = Queue("org")
A = Queue("a", "org", quota=4)
B = Queue("b", "org", quota=6)


def test_without_any_queue_everything_is_admitted() -> None:
    assert refusal(quotas(), asks("nobody", 1000)) == ""


def test_a_workload_that_names_no_queue_has_no_limit() -> None:
    assert refusal(quotas(Queue("a", quota=1)), asks("", 1000)) == ""


def test_a_workload_that_asks_for_no_devices_is_admitted_to_a_full_queue() -> None:
    assert refusal(quotas(Queue("a", quota=1), holders=[holds("a", 1)]), asks("a", 0, cpu=4)) == ""


def test_a_queue_that_does_not_exist_is_named_with_the_nearest() -> None:
    assert refusal(quotas(Queue("research", quota=1)), asks("reserch", 1)) == (
        "there is no queue 'reserch'; did you mean 'research'?"
    )


def test_a_queue_without_a_cohort_ends_at_its_quota() -> None:
    found = quotas(Queue("a", quota=4), holders=[holds("a", 3)])
    assert refusal(found, asks("a", 1)) == ""
    assert refusal(found, asks("a", 2)) == (
        "queue a uses 3 of its 4 devices, 2 more are asked for, but it has no cohort to borrow from;"
        " it waits for 1 to come back in a"
    )


def test_more_than_a_queue_could_ever_have_is_said_to_be_so() -> None:
    assert refusal(quotas(ORG, A, B), asks("a", 11)) == (
        "queue a uses 0 of its 4 devices, 11 more are asked for, but it can never have more than 10:"
        " cohort org has 10 of 10 left to lend"
    )


def test_a_queue_borrows_what_its_cohort_leaves_idle_and_no_more() -> None:
    found = quotas(ORG, A, B, holders=[holds("b", 3)])
    assert refusal(found, asks("a", 7)) == ""
    assert refusal(found, asks("a", 8)) == (
        "queue a uses 0 of its 4 devices, 8 more are asked for, but cohort org has 7 of 10 left to lend;"
        " it waits for 1 to come back in org"
    )


def test_what_is_borrowed_is_told() -> None:
    found = quotas(ORG, A, B, holders=[holds("a", 6), holds("b", 4)])
    assert refusal(found, asks("a", 1)).startswith("queue a uses 6 of its 4 devices (2 borrowed), 1 more are asked for")


def test_a_borrow_limit_bounds_what_a_queue_takes_beyond_its_quota() -> None:
    found = quotas(ORG, replace(A, borrow=1), B)
    assert refusal(found, asks("a", 5)) == ""
    found.add(asks("a", 5), 5000)
    assert "a may borrow 1 at most; it waits for 1 to come back in a" in refusal(found, asks("a", 1))


def test_a_lend_limit_keeps_the_rest_for_the_queue_itself() -> None:
    found = quotas(ORG, A, replace(B, lend=2))
    assert refusal(found, asks("a", 6)) == ""
    assert "it can never have more than 6" in refusal(found, asks("a", 7))
    found.add(asks("a", 6), 6000)
    assert refusal(found, asks("b", 4)) == ""
    assert "cohort org has 0 of 6 left to lend" in refusal(found, asks("b", 5))


def test_a_queue_without_a_quota_of_its_own_borrows_everything() -> None:
    found = quotas(ORG, A, Queue("guest", "org"))
    assert refusal(found, asks("guest", 4)) == ""
    found.add(asks("guest", 1), 1000)
    assert found.borrows("guest")


def test_a_parent_s_quota_holds_its_children_s_and_the_rest_is_lent_to_them() -> None:
    found = quotas(replace(ORG, quota=12), A, B)
    assert refusal(found, asks("a", 12)) == ""
    assert "never have more than 12" in refusal(found, asks("a", 13))
    assert refusal(found, asks("org", 12)) == ""
    found.add(asks("org", 3), 3000)
    assert found.borrows("org")


def test_cohorts_lend_to_each_other_within_the_limits_of_both() -> None:
    tree = (Queue("all"), Queue("west", "all", borrow=1), Queue("east", "all", lend=3))
    leaves = (Queue("w1", "west", quota=2), Queue("e1", "east", quota=8))
    found = quotas(*tree, *leaves)
    assert refusal(found, asks("w1", 3)) == ""
    assert "west may borrow 1 at most" in refusal(found, asks("w1", 4))
    assert "it can never have more than 10" in refusal(found, asks("e1", 11))


def test_shares_and_slices_count_as_parts_of_devices() -> None:
    found = quotas(Queue("a", quota=1))
    found.add(asks("a", 1), 750)
    assert found.refusal(asks("a", 1), 250) == ""
    assert "queue a uses 0.75 of its 1 devices, 0.5 more" in found.refusal(asks("a", 1), 500)


def test_what_is_removed_can_be_had_again() -> None:
    found = quotas(ORG, A, replace(B, lend=2))
    job = asks("b", 8)
    found.add(job, 8000)
    assert refusal(found, asks("a", 3))
    found.remove(job, 8000)
    assert refusal(found, asks("a", 6)) == ""
    assert found.dominant_share("b") == found.dominant_share("org") == 0.0


def test_what_happens_to_a_copy_is_not_seen_by_the_original() -> None:
    found = quotas(Queue("a", quota=1))
    twin = found.copy()
    twin.add(asks("a", 1), 1000)
    assert refusal(twin, asks("a", 1))
    assert refusal(found, asks("a", 1)) == ""
    assert found.dominant_share("a") == 0.0


def test_a_queue_that_borrows_gives_back_what_another_s_quota_covers() -> None:
    found = quotas(ORG, A, B, holders=[holds("b", 10)])
    assert found.borrows("b")
    assert found.may_reclaim(asks("a", 4), holds("b", 10))
    assert not found.may_reclaim(asks("a", 5), holds("b", 10))


def test_a_queue_within_its_quota_gives_nothing_back() -> None:
    found = quotas(ORG, A, B, holders=[holds("b", 6)])
    assert not found.borrows("b")
    assert not found.may_reclaim(asks("a", 1), holds("b", 6))


def test_nothing_is_reclaimed_within_a_queue_across_trees_or_from_nobody_s_queue() -> None:
    lonely = Queue("c", quota=5)
    found = quotas(ORG, A, B, lonely, holders=[holds("b", 10), holds("", 5)])
    assert not found.may_reclaim(asks("b", 1), holds("b", 10))
    assert not found.may_reclaim(asks("c", 1), holds("b", 10))
    assert not found.may_reclaim(asks("a", 1), holds("", 5))
    assert not found.may_reclaim(asks("", 1), holds("b", 10))


def test_elastic_training_reclaims_for_its_least() -> None:
    found = quotas(ORG, A, B, holders=[holds("b", 10)])
    assert found.may_reclaim(replace(asks("a", 8), least=4), holds("b", 10))


def test_a_cohort_that_borrows_nothing_from_outside_gives_nothing_to_those_outside() -> None:
    tree = (Queue("all"), Queue("west", "all"), Queue("east", "all"))
    leaves = (Queue("w1", "west", quota=2), Queue("e1", "east", quota=2), Queue("e2", "east", quota=2))
    found = quotas(*tree, *leaves, holders=[holds("e1", 4)])
    assert not found.may_reclaim(asks("w1", 2), holds("e1", 4))
    assert found.may_reclaim(asks("e2", 2), holds("e1", 4))


def test_what_a_queue_keeps_to_itself_does_not_cover_what_its_cohort_borrows() -> None:
    tree = (Queue("all"), Queue("west", "all", quota=4), Queue("east", "all"))
    found = quotas(*tree, Queue("e1", "east", quota=1, lend=0), holders=[holds("east", 1)])
    assert refusal(found, asks("west", 4))
    assert found.may_reclaim(asks("west", 4), holds("east", 1))


@pytest.mark.parametrize("parent", ["b", "a", "gone"])
def test_a_circle_or_a_missing_parent_counts_as_no_parent(parent: str) -> None:
    found = quotas(Queue("a", parent, quota=2), Queue("b", "a", quota=2))
    assert refusal(found, asks("a", 2)) == ""
    assert refusal(found, asks("b", 2)) == ""


def test_the_dominant_share_is_the_largest_of_any_resource_over_the_weight() -> None:
    found = quotas(Queue("a", quota=100, weight=2.0), cpu=10)
    found.add(asks("a", 20, cpu=3), 20_000)
    assert found.dominant_share("a") == pytest.approx(0.15)
    found.add(asks("a", 20), 20_000)
    assert found.dominant_share("a") == pytest.approx(0.2)


def test_elastic_training_holds_cpu_in_proportion_to_its_devices() -> None:
    found = quotas(cpu=100)
    found.add(replace(asks("a", 8, cpu=80), least=2), 2000)
    assert found.dominant_share("a") == pytest.approx(0.2)


def names(pending: list[tuple[str, str, float]], *queues: Queue, priority: str = "low") -> list[str]:
    workloads = [asks(queue, 1, name, at=at, priority=priority) for name, queue, at in pending]
    return [w.name for w in order(workloads, quotas(*queues), CLASSES, 0.0)]


def test_the_older_comes_first_and_names_decide_between_equals() -> None:
    assert names([("z", "", 1.0), ("y", "", 0.0), ("x", "", 1.0)]) == ["y", "x", "z"]


def test_a_higher_class_comes_first_whatever_its_queue_holds() -> None:
    rich = asks("a", 1, "rich", priority="high", at=9.0)
    poor = asks("b", 1, "poor")
    unknown = asks("b", 1, "unknown", priority="no such class")
    found = quotas(ORG, A, B, holders=[holds("a", 50)])
    assert [w.name for w in order([unknown, poor, rich], found, CLASSES, 0.0)] == ["rich", "poor", "unknown"]


def test_queues_of_one_class_take_turns() -> None:
    waiting = [("a0", "a", 0.0), ("a1", "a", 0.0), ("a2", "a", 0.0), ("b0", "b", 5.0), ("b1", "b", 5.0)]
    assert names(waiting, ORG, A, B) == ["a0", "b0", "a1", "b1", "a2"]


def test_twice_the_weight_is_twice_the_turns() -> None:
    waiting = [(f"{queue}{n}", queue, 0.0) for queue in "ab" for n in range(4)]
    found = names(waiting, ORG, replace(A, weight=2.0), B)
    assert [name[0] for name in found[:6]] == ["a", "b", "a", "a", "b", "a"]


def test_who_holds_much_already_waits_for_the_others_to_catch_up() -> None:
    found = quotas(A, B, holders=[holds("a", 2)])
    workloads = [asks("a", 1, "a0")] + [asks("b", 1, f"b{n}", at=1.0) for n in range(3)]
    assert [w.name for w in order(workloads, found, CLASSES, 0.0)] == ["b0", "b1", "a0", "b2"]


def test_two_tenants_are_equal_however_many_queues_one_of_them_has() -> None:
    tree = (Queue("x"), Queue("x1", "x"), Queue("x2", "x"), Queue("y"))
    waiting = [(f"{queue}-{n}", queue, 0.0) for queue in ("x1", "x2", "y") for n in range(4)]
    assert [name.split("-")[0] for name in names(waiting, *tree)[:8]] == ["x1", "y", "x2", "y", "x1", "y", "x2", "y"]


def test_workloads_of_a_cohort_itself_take_turns_with_those_of_its_queues() -> None:
    waiting = [("o0", "org", 0.0), ("o1", "org", 0.0), ("a0", "a", 0.0), ("a1", "a", 0.0)]
    assert names(waiting, ORG, A) == ["a0", "o0", "a1", "o1"]

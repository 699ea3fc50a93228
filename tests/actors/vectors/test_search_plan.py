"""Which plan a filtered search follows, from counts and costs alone."""

from __future__ import annotations

import itertools

from actors.vectors.search_plan import Costs, Exact, Plan, Widened, first_plan, next_plan

ROWS, K = 1_000_000, 10


def costs(allowed: int, each: float = 20) -> Costs:
    """Of an index that measures `each` distances for each neighbour asked for, 400 at least."""
    return Costs(float(allowed), lambda plan: max(400, each * plan.wide))


def first(allowed: int) -> Plan:
    return first_plan(ROWS, allowed, K, costs(allowed))


def test_where_all_rows_are_allowed_the_index_is_asked_for_no_more_than_k() -> None:
    plan = first(ROWS)
    assert isinstance(plan, Widened)
    assert plan.wide == K


def test_few_rows_are_measured() -> None:
    assert isinstance(first(300), Exact)
    assert isinstance(first(K), Exact)


def test_five_in_a_hundred_deleted_widen_by_a_few() -> None:
    plan = first(ROWS * 95 // 100)
    assert isinstance(plan, Widened)
    assert K < plan.wide < 2 * K


def test_half_of_the_rows_widen_at_once() -> None:
    plan = first(ROWS // 2)
    assert isinstance(plan, Widened)
    assert 2 * K < plan.wide < 4 * K


def test_a_plan_that_costs_much_is_preceded_by_a_cheap_try() -> None:
    plan = first(ROWS // 50)
    assert isinstance(plan, Widened)
    assert plan.wide < 2 * K


def test_what_was_found_says_how_far_to_go() -> None:
    few = next_plan(ROWS, ROWS // 50, K, costs(ROWS // 50), 17, 3)
    many = next_plan(ROWS, ROWS // 50, K, costs(ROWS // 50), 17, 9)
    assert isinstance(few, Widened)
    assert isinstance(many, Widened)
    assert few.wide > many.wide >= 34


def test_where_nothing_near_is_allowed_all_that_are_allowed_are_measured() -> None:
    assert isinstance(next_plan(ROWS, ROWS // 2, K, costs(ROWS // 2), 32, 0), Exact)
    assert isinstance(next_plan(ROWS, ROWS // 50, K, costs(ROWS // 50), 900, 0), Exact)


def test_none_among_so_few_that_it_may_be_chance_is_no_reason_to_measure_all() -> None:
    assert isinstance(next_plan(ROWS, ROWS // 10, K, costs(ROWS // 10), 17, 0), Widened)


def test_widening_ends_and_costs_no_more_than_a_scan_before_it_becomes_one() -> None:
    for share, found in itertools.product((2, 5, 20, 100, 1_000), range(K)):
        allowed = ROWS // share
        cost, plan, spent, rounds = costs(allowed), first(allowed), 0.0, 0
        while isinstance(plan, Widened):
            spent += cost.index(plan)
            rounds += 1
            plan = next_plan(ROWS, allowed, K, cost, plan.wide, found)
        assert isinstance(plan, Exact)
        assert spent <= 2 * allowed
        assert rounds < 20


def test_every_plan_says_why() -> None:
    for plan in (first(ROWS), first(300), first(ROWS // 2), first(ROWS // 50)):
        assert "rows are allowed" in plan.reason
    again = next_plan(ROWS, ROWS // 2, K, costs(ROWS // 2), 32, 4)
    assert again.reason.startswith("only 4 of the 32 nearest are allowed")

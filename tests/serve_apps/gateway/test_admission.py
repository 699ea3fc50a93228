"""Who is let in, who waits and who is turned away."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from control.specs.api_key import Priority
from serve_apps.gateway.admission import IN_ORDER, Admission, Visitor


def visitor(priority: Priority = "normal", size: int = 0) -> Visitor:
    return Visitor(priority, size)


def test_as_many_as_there_are_places_are_in_at_once() -> None:
    admission = Admission(places=2, most_waiting=5)
    first, second, third = visitor(), visitor(), visitor()
    assert [admission.enter(one) for one in (first, second, third)] == [True, True, False]
    assert admission.queue(third) is None
    assert admission.leave(first) == [third]


def test_those_who_wait_come_in_by_priority_and_then_by_arrival() -> None:
    admission = Admission(places=1, most_waiting=5)
    inside = visitor()
    admission.enter(inside)
    low, normal, high, later = visitor("low"), visitor("normal"), visitor("high"), visitor("high")
    for one in (low, normal, high, later):
        assert not admission.enter(one)
        admission.queue(one)
    came = []
    while inside:
        came += (let_in := admission.leave(inside))
        inside = let_in[0] if let_in else None  # type: ignore[assignment]
    assert came == [high, later, normal, low]


def test_a_full_queue_turns_the_newcomer_away_unless_one_of_a_lower_priority_waits() -> None:
    admission = Admission(places=1, most_waiting=2)
    admission.enter(visitor())
    first, last, high, other = visitor("low"), visitor("low"), visitor("high"), visitor("low")
    assert admission.queue(first) is None
    assert admission.queue(last) is None
    assert admission.queue(other) is other
    assert admission.queue(high) is last
    normal, another = visitor("normal"), visitor("normal")
    assert admission.queue(normal) is first
    assert admission.queue(another) is another


def test_bytes_are_bounded_and_the_first_who_waits_is_not_overtaken_by_smaller_ones() -> None:
    admission = Admission(places=9, most_waiting=9, most_bytes=100)
    inside, large, small = visitor(size=60), visitor(size=50), visitor(size=1)
    assert admission.enter(inside)
    assert not admission.enter(large)
    admission.queue(large)
    assert not admission.enter(small), "it would fit"
    admission.queue(small)
    assert admission.shrink(inside, 55) == []
    assert admission.shrink(inside, 50) == [large]
    assert admission.leave(inside) == [small]


def test_one_that_is_larger_than_all_bytes_together_is_let_in_alone() -> None:
    admission = Admission(places=9, most_waiting=9, most_bytes=100)
    huge, small = visitor(size=1000), visitor(size=1)
    assert admission.enter(huge)
    assert not admission.enter(small)
    admission.queue(small)
    assert admission.leave(huge) == [small]


def test_who_gives_up_waiting_stands_in_nobody_s_way() -> None:
    admission = Admission(places=9, most_waiting=9, most_bytes=100)
    admission.enter(visitor(size=60))
    large, small = visitor(size=50), visitor(size=1)
    admission.queue(large)
    admission.queue(small)
    assert admission.withdraw(large) == [small]


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(("come", "leave", "withdraw")), st.sampled_from(IN_ORDER), st.integers(0, 60))),
)
def test_nobody_is_lost_and_no_bound_is_passed_whatever_comes_and_goes(
    places: int, most_waiting: int, steps: list[tuple[str, Priority, int]]
) -> None:
    admission = Admission(places, most_waiting, most_bytes=100)
    inside: list[Visitor] = []
    waiting: list[Visitor] = []

    def let_in(visitors: list[Visitor]) -> None:
        for one in visitors:
            waiting.remove(one)
            inside.append(one)

    for step, priority, number in steps:
        if step == "come":
            newcomer = visitor(priority, number)
            if admission.enter(newcomer):
                inside.append(newcomer)
                continue
            waiting.append(newcomer)
            if (dropped := admission.queue(newcomer)) is not None:
                assert all(IN_ORDER.index(one.priority) <= IN_ORDER.index(dropped.priority) for one in waiting)
                waiting.remove(dropped)
        elif step == "leave" and inside:
            let_in(admission.leave(inside.pop(number % len(inside))))
        elif step == "withdraw" and waiting:
            let_in(admission.withdraw(waiting.pop(number % len(waiting))))
        assert len(inside) <= places
        assert len(waiting) <= most_waiting
        assert sum(one.size for one in inside) <= 100
        assert [one.inside for one in chain(inside, waiting)] == [True] * len(inside) + [False] * len(waiting)
        assert inside or not waiting, "a place is free and somebody waits"

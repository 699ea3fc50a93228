"""What follows a failed attempt: never more attempts than allowed, never one past the deadline."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.gateway.backends.attempts import (
    LEAST_SECONDS,
    MOST_DELAY_SECONDS,
    PATIENCE_SECONDS,
    SPREAD,
    Again,
    GiveUp,
    Limits,
    Next,
    Progress,
    decide,
)
from serve_apps.gateway.backends.fault import Fault, Meaning
from serve_apps.gateway.errors import ApiError, Failure

LIMITS = Limits(retry_count=2, total_s=600.0)


def fault(
    status: int | None = 500,
    failure: Failure = Failure.FAILED,
    retry_after_s: float | None = None,
    refused: bool = False,
    delivered: bool = False,
) -> Fault:
    """One whose error says which it is."""
    error = ApiError(status or 503, "code", f"{failure.name} {status} {retry_after_s}")
    return Fault(failure, error, status, retry_after_s, refused, delivered)


def after(
    *faults: Fault,
    rest: int = 0,
    here: int = 1,
    closed_s: float = 0.0,
    elapsed_s: float = 0.0,
    limits: Limits = LIMITS,
    jitter: float = 0.0,
) -> Again | Next | GiveUp:
    return decide(Progress(faults, here, rest, closed_s, elapsed_s), limits, jitter)


@pytest.mark.parametrize(
    "last",
    [
        *map(fault, (400, 413, 422)),
        fault(403, refused=True),
        fault(500, delivered=True),
        fault(429, delivered=True),
    ],
)
def test_what_no_backend_would_answer_better_is_told_as_it_is(last: Fault) -> None:
    assert after(fault(500), last, rest=2) == GiveUp(last.error)


@pytest.mark.parametrize(
    "last",
    [
        *map(fault, (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 529)),
        fault(429, retry_after_s=60.0),
        *(fault(None, failure) for failure in Failure),
    ],
)
def test_everything_else_goes_to_the_next_backend_at_once(last: Fault) -> None:
    assert after(last, rest=2, elapsed_s=10.0) == Next(590.0)


@pytest.mark.parametrize("last", [fault(500), fault(409), fault(None, Failure.BROKEN), fault(None, Failure.UNREACHED)])
def test_attempts_to_spare_go_to_the_same_backend_first_where_the_failure_may_pass(last: Fault) -> None:
    assert after(last, rest=1) == Again(0.1, 599.9)
    assert after(last, last, rest=1, here=2) == Next(600.0)
    assert after(last, rest=1, closed_s=4.0) == Next(600.0), "its breaker opened meanwhile"


@pytest.mark.parametrize("last", [fault(401), fault(429), fault(None, Failure.SILENT)])
def test_a_backend_that_would_fail_again_is_not_asked_again_while_there_is_another(last: Fault) -> None:
    assert after(last, rest=1) == Next(600.0)


def test_the_only_backend_is_asked_again_after_waits_that_double_and_are_spread() -> None:
    many = Limits(retry_count=10, total_s=600.0)
    delays = [after(fault(500), here=here, limits=many) for here in (1, 2, 3, 20)]
    assert [again.delay_s for again in delays if isinstance(again, Again)] == [0.1, 0.2, 0.4, MOST_DELAY_SECONDS]
    assert after(fault(500), jitter=1.0) == Again(0.05, 599.95)
    assert isinstance(after(fault(None, Failure.SILENT)), Again)


def test_a_retry_after_is_waited_for_where_it_is_short_and_nobody_else_is_there() -> None:
    last = fault(429, retry_after_s=4.0)
    assert after(last, closed_s=4.0) == Again(4.0, 596.0)
    again = after(last, closed_s=4.0, jitter=1.0)
    assert isinstance(again, Again)
    assert again.delay_s == pytest.approx(4.0 * (1 + SPREAD))


@pytest.mark.parametrize("closed_s", [PATIENCE_SECONDS + 0.1, 3600.0, math.inf])
def test_a_long_retry_after_is_the_clients_to_wait_for(closed_s: float) -> None:
    last = fault(429, retry_after_s=closed_s)
    assert after(last, closed_s=closed_s) == GiveUp(last.error)


def test_a_key_that_is_not_taken_is_not_tried_twice() -> None:
    last = fault(401)
    assert after(last) == GiveUp(last.error)


def test_retries_are_of_the_request_not_of_each_backend() -> None:
    first, second, third = fault(500), fault(502), fault(503)
    assert after(first, second, third, rest=5) == GiveUp(third.error)
    assert after(first, rest=5, limits=Limits(0, 600.0)) == GiveUp(first.error)


@pytest.mark.parametrize("rest", [0, 3])
def test_at_the_deadline_it_ends_with_what_was_found(rest: int) -> None:
    last = fault(500)
    assert after(last, rest=rest, elapsed_s=600.0 - LEAST_SECONDS / 2) == GiveUp(last.error)
    assert after(last, rest=rest, elapsed_s=1000.0) == GiveUp(last.error)


def test_where_a_wait_does_not_fit_another_backend_still_may() -> None:
    assert after(fault(500), rest=1, elapsed_s=599.875) == Next(0.125)


def test_the_last_word_is_what_tells_the_client_most() -> None:
    failed, denied = fault(500), fault(401)
    soon, late = fault(429, retry_after_s=7.0), fault(429, retry_after_s=70.0)
    for faults, told in (
        ((failed, soon, denied), failed),
        ((denied, late, soon), soon),
        ((soon, late, denied), soon),
        ((denied, denied, denied), denied),
        ((failed, late, fault(400)), fault(400)),
    ):
        decision = after(*faults)
        assert isinstance(decision, GiveUp)
        assert str(decision.error) == str(told.error)


FAULTS = st.builds(
    fault,
    st.sampled_from([None, 200, 400, 401, 404, 408, 409, 429, 500, 503]),
    st.sampled_from(Failure),
    st.none() | st.floats(0, 20),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(FAULTS, st.floats(0, 1), st.floats(0, 1), st.floats(0, 8)), min_size=15, max_size=15),
    st.integers(0, 10),
    st.integers(0, 5),
    st.floats(0.2, 40),
)
def test_however_it_fails_attempts_are_bounded_and_end_by_the_deadline(
    happens: list[tuple[Fault, float, float, float]], retry_count: int, others: int, total_s: float
) -> None:
    """A request whose attempts take parts of the time they may take, up to all of it."""
    limits = Limits(retry_count, total_s)
    now, left_s, here, rest, visited = 0.0, total_s, 1, others, 1
    faults: list[Fault] = []
    for last, part, jitter, opened_s in happens:
        assert left_s > 0
        now += part * left_s
        assert now <= total_s * (1 + 1e-9)
        faults.append(last)
        closed_s = last.closed_s if last.meaning is Meaning.BUSY else opened_s if opened_s > 4 else 0.0
        decision = decide(Progress(faults, here, rest, closed_s, now), limits, jitter)
        assert len(faults) <= 1 + retry_count
        match decision:
            case GiveUp():
                assert decision.error in [one.error for one in faults]
                return
            case Next():
                here, rest, visited, left_s = 1, rest - 1, visited + 1, decision.left_s
            case Again():
                assert last.meaning is not Meaning.DENIED
                assert decision.delay_s >= closed_s
                assert decision.delay_s <= max(MOST_DELAY_SECONDS, PATIENCE_SECONDS * (1 + SPREAD))
                now, here, left_s = now + decision.delay_s, here + 1, decision.left_s
        assert last.meaning is not Meaning.REQUEST
        assert now + left_s == pytest.approx(total_s)
        assert visited <= 1 + others
    pytest.fail("it never gave up")

"""How a backend falls ill, is left alone, tried and taken back."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.specs.trigger import STATUSES
from serve_apps.gateway.backends.breaker import TRANSITIONS, Event, State
from serve_apps.gateway.backends.health import (
    DEGRADED_AFTER,
    MOST_OPEN_SECONDS,
    OPEN_AFTER,
    OPEN_SECONDS,
    TRIALS,
    Closed,
    Ended,
    Health,
)


def fails(health: Health, times: int, now: float = 0.0, jitter: float = 0.0) -> Health:
    for _ in range(times):
        health = health.ended(health.period, Ended.FAILED, now, jitter, "answered 500")
    return health


def misses(health: Health, times: int, now: float = 0.0) -> Health:
    for _ in range(times):
        health = health.probed("unreached", now, 0.0)
    return health


def answers(health: Health, times: int, now: float) -> Health:
    for _ in range(times):
        health = health.sent().ended(health.period, Ended.ANSWERED, now, 0.0)
    return health


WELL = Health()
DEGRADED = fails(WELL, DEGRADED_AFTER)
OPEN = fails(WELL, OPEN_AFTER)
HALF_OPEN = OPEN.at(OPEN_SECONDS)
SILENT = misses(WELL, OPEN_AFTER)
STATES = {State.HEALTHY: WELL, State.DEGRADED: DEGRADED, State.OPEN: OPEN, State.HALF_OPEN: HALF_OPEN}
NOW = OPEN_SECONDS

REACHED: dict[tuple[State, Event], Health] = {
    (State.HEALTHY, Event.ANSWERED): answers(fails(WELL, 1), 1, NOW),
    (State.HEALTHY, Event.FAILED): fails(WELL, 1, NOW),
    (State.HEALTHY, Event.FAILED_OFTEN): fails(WELL, DEGRADED_AFTER, NOW),
    (State.HEALTHY, Event.FAILED_TOO_OFTEN): fails(DEGRADED.at(NOW), 2, NOW),
    (State.HEALTHY, Event.PROBED): WELL.probed(None, NOW, 0.0),
    (State.HEALTHY, Event.RETURNED): misses(WELL, 1, NOW).probed(None, NOW, 0.0),
    (State.DEGRADED, Event.ANSWERED): answers(DEGRADED, 1, 1.0),
    (State.DEGRADED, Event.FAILED): misses(DEGRADED, 1, 1.0),
    (State.DEGRADED, Event.FAILED_OFTEN): fails(DEGRADED, 1, 1.0),
    (State.DEGRADED, Event.FAILED_TOO_OFTEN): fails(DEGRADED, 2, 1.0),
    (State.DEGRADED, Event.PROBED): DEGRADED.probed(None, 1.0, 0.0),
    (State.DEGRADED, Event.RETURNED): misses(WELL, DEGRADED_AFTER, 1.0).probed(None, 1.0, 0.0),
    (State.DEGRADED, Event.LAPSED): DEGRADED.at(NOW),
    (State.OPEN, Event.FAILED): misses(OPEN, 1, 1.0),
    (State.OPEN, Event.FAILED_OFTEN): misses(OPEN, DEGRADED_AFTER, 1.0),
    (State.OPEN, Event.FAILED_TOO_OFTEN): misses(OPEN, OPEN_AFTER, 1.0),
    (State.OPEN, Event.PROBED): OPEN.probed(None, 1.0, 0.0),
    (State.OPEN, Event.RETURNED): SILENT.probed(None, 1.0, 0.0),
    (State.OPEN, Event.LAPSED): OPEN.at(NOW),
    (State.HALF_OPEN, Event.ANSWERED): answers(HALF_OPEN, 1, NOW),
    (State.HALF_OPEN, Event.PASSED): answers(HALF_OPEN, TRIALS, NOW),
    (State.HALF_OPEN, Event.FAILED): fails(SILENT.at(NOW).sent(), 1, NOW),
    (State.HALF_OPEN, Event.FAILED_OFTEN): misses(HALF_OPEN, 2, NOW),
    (State.HALF_OPEN, Event.FAILED_TOO_OFTEN): fails(HALF_OPEN.sent(), 1, NOW),
    (State.HALF_OPEN, Event.PROBED): HALF_OPEN.probed(None, NOW, 0.0),
    (State.HALF_OPEN, Event.RETURNED): replace(HALF_OPEN, missed=1).probed(None, NOW, 0.0),
}
"""What becomes of a backend in every state that meets with every event there can be."""


@pytest.mark.parametrize(("state", "event"), itertools.product(State, Event))
def test_every_pair_of_state_and_event_has_its_next_state_or_cannot_be(state: State, event: Event) -> None:
    assert STATES[state].state is state
    assert ((state, event) in TRANSITIONS) == ((state, event) in REACHED)
    if (state, event) in REACHED:
        assert REACHED[state, event].state is TRANSITIONS[state, event]


@pytest.mark.parametrize("state", State)
def test_every_state_is_a_status_that_a_trigger_may_name(state: State) -> None:
    assert state.status in STATUSES
    assert (state.status == "healthy") == (state is State.HEALTHY)


def test_only_an_open_breaker_refuses_and_says_for_how_long_and_why() -> None:
    assert [STATES[state].closed(NOW) for state in State if state is not State.OPEN] == [None] * 3
    closed = OPEN.closed(1.0)
    assert closed == Closed("breaker open for 4.0 s more after 5 failures in a row, the last: answered 500", 5.0)


def test_an_answer_wipes_out_failures_and_a_client_that_leaves_does_nothing() -> None:
    assert answers(fails(WELL, OPEN_AFTER - 1), 1, 0.0) == replace(WELL, why="answered 500")
    before = fails(WELL, 2)
    assert before.ended(0, Ended.UNJUDGED, 0.0, 0.0) == before


def test_a_probe_that_is_answered_does_not_hide_requests_that_fail() -> None:
    health = WELL
    for _ in range(OPEN_AFTER):
        health = fails(health, 1).probed(None, 0.0, 0.0)
    assert health.state is State.OPEN
    assert health.probed(None, 1.0, 0.0).state is State.OPEN


def test_requests_that_are_answered_hide_probes_that_fail() -> None:
    health = WELL
    for _ in range(4 * OPEN_AFTER):
        health = answers(misses(health, OPEN_AFTER - 1), 1, 0.0)
    assert health.state is State.HEALTHY


def test_a_degraded_backend_that_nobody_asks_is_healthy_again_but_its_next_failure_counts_on() -> None:
    assert DEGRADED.at(OPEN_SECONDS - 0.1).state is State.DEGRADED
    lapsed = DEGRADED.at(OPEN_SECONDS)
    assert (lapsed.state, lapsed.failures) == (State.HEALTHY, DEGRADED_AFTER)
    assert fails(lapsed, 1, OPEN_SECONDS).state is State.DEGRADED
    assert fails(lapsed, 2, OPEN_SECONDS).state is State.OPEN


def test_every_failed_trial_doubles_the_wait_up_to_a_minute_and_a_closed_breaker_begins_anew() -> None:
    health, waits = OPEN, [OPEN.until]
    for _ in range(5):
        now = health.until
        health = fails(health.at(now).sent(), 1, now)
        waits.append(health.until - now)
    assert waits == [5.0, 10.0, 20.0, 40.0, MOST_OPEN_SECONDS, MOST_OPEN_SECONDS]
    closed = answers(health.at(health.until), TRIALS, health.until)
    assert (closed.state, closed.opened, closed.failures) == (State.HEALTHY, 0, 0)
    assert fails(closed, OPEN_AFTER, 1000.0).until == 1000.0 + OPEN_SECONDS


def test_trials_of_an_earlier_try_are_not_counted_in_the_next() -> None:
    health = fails(answers(HALF_OPEN, TRIALS - 1, NOW).sent().sent(), 1, NOW)
    again = health.at(health.until)
    assert (again.state, again.trials, again.passed) == (State.HALF_OPEN, 0, 0)


def test_a_probe_that_is_answered_does_not_make_a_degraded_backend_stay_so_for_longer() -> None:
    assert DEGRADED.probed(None, OPEN_SECONDS - 1, 0.0).at(OPEN_SECONDS).state is State.HEALTHY


def test_probes_count_as_failed_in_a_row_since_the_last_one_that_was_answered() -> None:
    health = misses(WELL, OPEN_AFTER - 1).probed(None, 0.0, 0.0)
    assert misses(health, OPEN_AFTER - 1).state is State.DEGRADED


def test_jitter_spreads_the_end_over_half_of_the_wait() -> None:
    assert fails(WELL, OPEN_AFTER, jitter=1.0).until == OPEN_SECONDS / 2


def test_a_backend_that_is_down_for_a_year_still_has_a_wait() -> None:
    assert fails(replace(HALF_OPEN, opened=10**6), 1).until == MOST_OPEN_SECONDS


def test_a_half_open_backend_gets_three_requests_and_again_one_for_each_that_said_nothing() -> None:
    health = HALF_OPEN
    for _ in range(TRIALS):
        assert health.closed(NOW) is None
        health = health.sent()
    assert health.closed(NOW) == Closed("breaker half-open, and 3 requests try it already", math.inf)
    health = health.ended(health.period, Ended.UNJUDGED, NOW, 0.0)
    assert health.closed(NOW) is None
    one_passed = health.ended(health.period, Ended.ANSWERED, NOW, 0.0).sent()
    assert one_passed.closed(NOW) is not None, "no more are sent than are needed"


def test_what_was_sent_before_the_breaker_opened_says_nothing_any_more() -> None:
    for how in Ended:
        assert OPEN.ended(WELL.period, how, 1.0, 0.0) == OPEN
        assert HALF_OPEN.ended(WELL.period, how, NOW, 0.0) == HALF_OPEN


def test_a_backend_that_wants_a_pause_has_it_and_is_not_ill() -> None:
    busy = WELL.busy(20.0)
    assert busy.state is State.HEALTHY
    assert busy.closed(8.0) == Closed("wants no requests for 12.0 s", 20.0)
    assert busy.closed(20.0) is None
    assert busy.busy(10.0) == busy, "the longest pause counts"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.just(0.0)),
        st.tuples(st.sampled_from(["answered", "failed", "unjudged", "probed", "missed"]), st.floats(0, 1)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 70.0])),
        st.tuples(st.just("busy"), st.sampled_from([0.0, 2.0])),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([WELL, OPEN, HALF_OPEN]), STEPS)
def test_whatever_happens_trials_are_few_waits_are_short_and_no_way_back_is_ever_lost(
    health: Health, steps: list[tuple[str, float]]
) -> None:
    now = NOW
    sent: list[int] = []
    for kind, value in steps:
        health = health.at(now)
        match kind:
            case "wait":
                now += value
            case "busy":
                health = health.busy(now + value)
            case "send" if health.closed(now) is None:
                health = health.sent()
                sent.append(health.period)
            case "answered" | "failed" | "unjudged" if sent:
                period = sent.pop(int(value * (len(sent) - 1)))
                health = health.ended(period, Ended[kind.upper()], now, value)
            case "probed" | "missed":
                health = health.probed(None if kind == "probed" else "unreached", now, value)
        if health.state is State.HALF_OPEN:
            assert health.trials == sent.count(health.period)
            assert health.trials + health.passed <= TRIALS
        if health.state is State.OPEN:
            assert health.period not in sent
            assert health.until <= now + MOST_OPEN_SECONDS
    for period in sent:
        health = health.at(now).ended(period, Ended.UNJUDGED, now, 0.0)
    now += MOST_OPEN_SECONDS
    health = health.at(now)
    assert health.closed(now) is None, "left alone for long enough, it gets requests"
    assert answers(health, TRIALS, now).state is State.HEALTHY

"""When a trigger fires, and that it does not flap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.specs.trigger import WINDOW_SECONDS, Trigger, parse_trigger
from control.traffic import bucket
from serve_apps.gateway.backends.triggers import DWELL_SECONDS, EASED, LEAST_SAMPLE, QUIET, Stand, judge
from serve_apps.gateway.backends.window import Reading, Window

ERRORS = parse_trigger("error_rate > 0.05")
SLOW = parse_trigger("latency_p99 > 5000ms over 30s")
UNWELL = parse_trigger("provider_status != healthy")


def errors(count: int, of: int) -> Reading:
    return Reading(of, count, {})


def latency(ms: float, sample: int = 100) -> Reading:
    return Reading(sample, 0, {bucket(ms): sample})


def fired(trigger: Trigger, reading: Reading, status: str = "healthy") -> Stand:
    return judge(trigger, QUIET, reading, status, 0.0)


def test_a_trigger_fires_when_its_condition_holds_and_says_what_was_measured() -> None:
    assert fired(ERRORS, errors(27, 87)).why == "error_rate 0.31 > 0.05 over 60 s, 87 requests"
    assert fired(SLOW, latency(6000)).why == "latency_p99 6130 ms > 5000 ms over 30 s, 100 requests"
    assert fired(UNWELL, errors(0, 0), "degraded").why == "provider_status degraded != healthy"
    for trigger, reading in ((ERRORS, errors(5, 100)), (SLOW, latency(4000)), (UNWELL, errors(99, 99))):
        assert fired(trigger, reading) == QUIET


@pytest.mark.parametrize(
    ("written", "fires_at", "not_at"),
    [
        ("error_rate >= 0.5", 50, 49),
        ("error_rate > 0.5", 51, 50),
        ("error_rate < 0.5", 49, 50),
        ("error_rate <= 0.5", 50, 51),
    ],
)
def test_every_comparison_means_what_it_says(written: str, fires_at: int, not_at: int) -> None:
    assert fired(parse_trigger(written), errors(fires_at, 100)).fired
    assert not fired(parse_trigger(written), errors(not_at, 100)).fired


@pytest.mark.parametrize("written", ["provider_status == unhealthy", "provider_status != degraded"])
def test_a_status_is_compared_as_it_is(written: str) -> None:
    assert fired(parse_trigger(written), errors(0, 0), "unhealthy").fired
    assert not fired(parse_trigger(written), errors(0, 0), "degraded").fired


def test_of_a_small_sample_a_measurement_says_nothing() -> None:
    assert not fired(ERRORS, errors(LEAST_SAMPLE - 1, LEAST_SAMPLE - 1)).fired
    assert fired(ERRORS, errors(2, LEAST_SAMPLE)).fired
    assert not fired(SLOW, Reading(1000, 0, {bucket(9000): LEAST_SAMPLE - 1})).fired, "most have no latency"


def test_it_stays_fired_until_what_it_measures_was_clearly_better_for_the_dwell_time() -> None:
    stand = fired(ERRORS, errors(6, 100))
    stand = judge(ERRORS, stand, errors(45, 1000), "healthy", 1.0)
    assert stand.why == "error_rate 0.045 over 60 s, 1000 requests, was > 0.05 and is not better clearly yet"
    stand = judge(ERRORS, stand, errors(4, 100), "healthy", 2.0)
    assert stand.why == "error_rate 0.04 over 60 s, 100 requests, was > 0.05 and is not better for 10 s yet"
    assert judge(ERRORS, stand, errors(4, 100), "healthy", 1.9 + DWELL_SECONDS).fired
    assert judge(ERRORS, stand, errors(4, 100), "healthy", 2.0 + DWELL_SECONDS) == QUIET


def test_a_relapse_begins_the_dwell_time_anew() -> None:
    stand = judge(ERRORS, fired(ERRORS, errors(6, 100)), errors(1, 100), "healthy", 1.0)
    stand = judge(ERRORS, stand, errors(45, 1000), "healthy", 10.0)
    stand = judge(ERRORS, stand, errors(1, 100), "healthy", 11.0)
    assert judge(ERRORS, stand, errors(1, 100), "healthy", 12.0).fired


def test_a_backend_that_nobody_asks_any_more_is_given_another_chance() -> None:
    stand = judge(ERRORS, fired(ERRORS, errors(6, 100)), errors(3, 3), "healthy", 1.0)
    assert stand.why == (
        "error_rate of too few to tell over 60 s, 3 requests, was > 0.05 and is not better for 10 s yet"
    )
    assert judge(ERRORS, stand, errors(0, 0), "healthy", 1.0 + DWELL_SECONDS) == QUIET


def test_a_status_that_is_well_again_dwells_too() -> None:
    stand = judge(UNWELL, fired(UNWELL, errors(0, 0), "unhealthy"), errors(0, 0), "healthy", 1.0)
    assert stand.why == "provider_status healthy, was != healthy and is not better for 10 s yet"
    assert judge(UNWELL, stand, errors(0, 0), "healthy", 1.0 + DWELL_SECONDS) == QUIET


@pytest.mark.parametrize(
    ("written", "better", "not_clearly"),
    [
        ("error_rate > 0", 0, 1),
        ("error_rate < 0.4", 50, 49),
        ("error_rate < 0.9", 100, 99),
        ("error_rate >= 0.5", 40, 41),
    ],
)
def test_every_limit_has_a_clearly_better_side(written: str, better: int, not_clearly: int) -> None:
    trigger, stand = parse_trigger(written), Stand(True, None, "it fired")
    assert judge(trigger, stand, errors(not_clearly, 100), "healthy", 0.0).better_since is None
    assert judge(trigger, stand, errors(better, 100), "healthy", 0.0).better_since == 0.0


def test_a_latency_may_be_too_short_as_well() -> None:
    trigger, stand = parse_trigger("latency_p50 < 1s"), Stand(True, None, "it fired")
    assert judge(trigger, stand, latency(1000 / EASED * 0.9), "healthy", 0.0).better_since is None
    assert judge(trigger, stand, latency(1000 / EASED * 1.1), "healthy", 0.0).better_since == 0.0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 4), st.integers(0, 40), st.integers(0, 40), st.sampled_from(["healthy", "degraded"])),
        max_size=150,
    ),
    st.sampled_from(
        ["error_rate > 0.05", "error_rate >= 0.5 over 5s", "error_rate < 0.9", "provider_status != healthy"]
    ),
)
def test_nothing_comes_back_sooner_than_the_dwell_time_and_nothing_stays_away_for_ever(
    traffic: list[tuple[float, int, int, str]], written: str
) -> None:
    trigger, window, stand, now = parse_trigger(written), Window(), QUIET, 0.0
    fired_at = None
    for after, good, bad, status in traffic:
        now += after
        for failed in [False] * good + [True] * bad:
            window.record(now, failed, None)
        before, stand = stand, judge(trigger, stand, window.read(now, trigger.window_s), status, now)
        assert stand.fired == bool(stand.why)
        if stand.fired and not before.fired:
            fired_at = now
        if before.fired and not stand.fired:
            assert fired_at is not None
            assert now - fired_at >= DWELL_SECONDS
    now += WINDOW_SECONDS
    for _ in range(3):
        stand = judge(trigger, stand, window.read(now, trigger.window_s), "healthy", now)
        now += DWELL_SECONDS
    assert stand == QUIET

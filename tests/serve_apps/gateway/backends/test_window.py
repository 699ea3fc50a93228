"""What a window says of the last minute: the same as counting it all again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.specs.trigger import SLOT_SECONDS, WINDOW_SECONDS
from control.traffic import bucket
from serve_apps.gateway.backends.window import MOST_MS, SLOTS, Window

OUTCOMES = st.lists(
    st.tuples(st.floats(0, 20), st.booleans(), st.none() | st.floats(0, 1e5)),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(OUTCOMES, st.floats(0, 70), st.sampled_from([5.0, 30.0, WINDOW_SECONDS]))
def test_a_window_is_a_recount_of_what_its_slots_cover(
    outcomes: list[tuple[float, bool, float | None]], later: float, seconds: float
) -> None:
    window, now = Window(), 0.0
    seen: list[tuple[float, bool, float | None]] = []
    for after, failed, ms in outcomes:
        now += after
        window.record(now, failed, ms)
        seen.append((now, failed, ms))
    now += later
    since = (now // SLOT_SECONDS - seconds / SLOT_SECONDS + 1) * SLOT_SECONDS
    covered = [(failed, ms) for at, failed, ms in seen if at >= since]
    reading = window.read(now, seconds)
    assert (reading.requests, reading.errors) == (len(covered), sum(failed for failed, _ in covered))
    assert now - seconds <= since <= now - seconds + SLOT_SECONDS
    counted: dict[int, int] = {}
    for _, ms in covered:
        if ms is not None:
            counted[bucket(ms)] = counted.get(bucket(ms), 0) + 1
    assert reading.latency_ms == counted
    latencies = sorted(ms for _, ms in covered if ms is not None)
    median, sample = reading.measure("latency_p50")
    assert sample == len(latencies)
    if latencies and latencies[(len(latencies) - 1) // 2] > 0.01:
        assert median == pytest.approx(latencies[(len(latencies) - 1) // 2] / 1000, rel=0.05)


def test_measures_are_fractions_and_seconds_and_nothing_of_nothing() -> None:
    window = Window()
    assert window.read(0.0, WINDOW_SECONDS).measure("error_rate") == (None, 0)
    assert window.read(0.0, WINDOW_SECONDS).measure("latency_p99") == (None, 0)
    for number in range(100):
        window.record(1.0, number < 31, 1000.0 if number < 94 else 6000.0)
    window.record(1.0, True, None)
    reading = window.read(1.0, WINDOW_SECONDS)
    assert reading.measure("error_rate") == (32 / 101, 101)
    for metric, seconds in (("latency_p50", 1.0), ("latency_p95", 6.0), ("latency_p99", 6.0)):
        assert list(reading.measure(metric)) == pytest.approx([seconds, 100], rel=0.05)


def test_a_million_requests_cost_no_more_memory_than_a_few() -> None:
    window = Window()
    for number in range(100_000):
        window.record(number / 1000, False, 10 ** (number % 40 - 10))
    window.record(100.0, False, float("inf"))
    assert len(window._slots) == SLOTS
    most = bucket(MOST_MS) - bucket(0) + 1
    assert most == 237
    assert all(len(slot.latency_ms) <= most for slot in window._slots)

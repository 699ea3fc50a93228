"""The figures of traffic: they add up over replicas, are told apart over time, and keep their quantiles."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.traffic import RATIO, Histogram, Traffic, bucket, document, parse, quantile

milliseconds = st.floats(0.01, 1e7)
histograms = st.dictionaries(st.integers(-40, 180), st.integers(1, 1000), max_size=6)
counts = st.integers(0, 10_000)
traffic = st.builds(Traffic, counts, counts, histograms, histograms, histograms)


def histogram(values: list[float]) -> Histogram:
    return Counter(bucket(value) for value in values)


@given(milliseconds)
def test_a_bucket_holds_what_it_says(ms: float) -> None:
    index = bucket(ms)
    assert RATIO**index * (1 - 1e-9) <= ms <= RATIO ** (index + 1) * (1 + 1e-9)


def test_what_takes_no_time_has_a_bucket_too() -> None:
    assert bucket(0.0) == bucket(-1.0) == bucket(0.01)


@given(st.lists(milliseconds, min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_five_percent_of_the_value_of_its_rank(values: list[float], q: float) -> None:
    exact = sorted(values)[max(0, -int(-q * len(values) // 1) - 1)]
    found = quantile(histogram(values), q)
    assert found is not None
    assert abs(found - exact) <= 0.05 * exact


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None


@given(traffic, traffic)
def test_the_later_reading_less_the_earlier_is_what_came_between(earlier: Traffic, came: Traffic) -> None:
    assert (earlier + came) - earlier == came
    assert earlier + came == came + earlier


@given(traffic)
def test_nothing_came_between_a_reading_and_itself(one: Traffic) -> None:
    assert one - one == Traffic()
    assert one + Traffic() == one


def test_a_replica_that_began_anew_is_not_counted_backwards() -> None:
    before = Traffic(100, 5, {10: 100}, {}, {30: 95})
    anew = Traffic(120, 0, {10: 120}, {}, {30: 120})
    assert anew - before == anew
    fewer = Traffic(3, 0, {11: 3}, {}, {31: 3})
    assert fewer - before == fewer


@given(st.dictionaries(st.text(max_size=8), traffic, max_size=3))
def test_what_a_replica_writes_is_what_is_read(apps: dict[str, Traffic]) -> None:
    assert parse(json.loads(json.dumps(document(apps)))) == apps


def test_histograms_that_are_not_told_are_empty() -> None:
    assert parse({"apps": {"llm:a": {"requests": 2, "errors": 1}}}) == {"llm:a": Traffic(2, 1)}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"apps": []},
        {"apps": {"a": {}}},
        {"apps": {"a": {"requests": "many", "errors": 0}}},
        {"apps": {"a": {"requests": 1, "errors": 0, "ttft_ms": {"fast": 1}}}},
        {"apps": {"a": {"requests": 1, "errors": 0, "ttft_ms": [1]}}},
    ],
)
def test_what_is_no_traffic_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="this is no gateway replica's traffic: expected apps"):
        parse(body)

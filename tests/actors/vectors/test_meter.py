"""What a replica counts: times that end well, and how many of the nearest its searches find."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.meter import SAMPLE_SECONDS, Meter
from actors.vectors.query import Hits, Query, Tuning


def hits(*ids: int) -> Hits:
    scores = np.zeros(len(ids), np.float32)
    return Hits(np.array([len(ids)], np.int32), pa.array(ids, pa.int64()), scores, None, 0)


def query(k: int = 10, count: int = 1) -> Query:
    return Query(np.zeros((count, 4), np.float32), k, columns=("year",))


def test_recall_is_the_part_of_the_exact_answer_that_was_found() -> None:
    asked: list[Query] = []

    def exact(one: Query) -> Hits:
        asked.append(one)
        return hits(1, 2, 3, 4)

    meter = Meter(exact)
    assert meter.recall == -1.0
    meter.sample(query(k=4, count=3), hits(4, 3, 9, 1))
    meter.sample(query(k=4), hits(1, 2, 3, 4))
    assert meter.recall == pytest.approx((0.75 + 1.0) / 2)
    assert (asked[0].tuning, asked[0].columns, len(asked[0].vectors)) == (Tuning(exact=True), (), 1)


def test_only_the_first_ten_count() -> None:
    meter = Meter(lambda one: hits(*range(one.k)))
    meter.sample(query(k=100), hits(*range(100)))
    assert meter.recall == 1.0


def test_a_query_without_any_match_says_nothing_of_recall() -> None:
    meter = Meter(lambda one: hits())
    meter.sample(query(), hits())
    assert meter.recall == -1.0


def test_samples_are_far_apart() -> None:
    meter = Meter(lambda one: hits())
    wants = [meter.wants_sample(now) for now in (100.0, 101.0, 100.0 + SAMPLE_SECONDS, 101.0 + SAMPLE_SECONDS)]
    assert wants == [True, False, True, False]


def test_what_fails_has_no_time() -> None:
    meter = Meter(lambda one: hits())
    with meter.timed("write_ms"):
        pass
    with pytest.raises(OSError, match="full"), meter.timed("write_ms"):
        raise OSError("full")
    assert sum(meter.times()["write_ms"].values()) == 1
    assert meter.counts() == {}
    meter.count("writes", 2)
    assert meter.counts() == {"writes": 2}

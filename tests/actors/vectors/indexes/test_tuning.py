"""Which parameter a target recall takes."""

from __future__ import annotations

import pytest

from actors.vectors.indexes.tuning import Curve

CURVE = Curve((10, 20, 40, 160, 320), ((0.9, 0.95, 0.99, 0.999, 1.0), (0.0, 0.0, 0.0, 0.98, 0.995)))


@pytest.mark.parametrize(
    ("target", "k", "value"),
    [(0.9, 10, 10), (0.95, 10, 20), (0.951, 10, 40), (0.99, 1, 40), (0.99, 100, 320), (0.99, 200, 640)],
)
def test_the_least_measured_value_that_reaches_the_target_is_taken(target: float, k: int, value: int) -> None:
    assert CURVE.least(target, k) == value


def test_between_measured_k_the_need_grows_with_k() -> None:
    needs = [CURVE.least(0.99, k) for k in range(10, 101)]
    assert needs == sorted(needs)
    assert (needs[0], needs[-1]) == (40, 320)


def test_a_target_that_nothing_reached_takes_the_widest_search() -> None:
    assert CURVE.least(0.999, 100) == 320
    assert CURVE.reaches(0.995)
    assert not CURVE.reaches(0.996), "recall@100 ended at .995"

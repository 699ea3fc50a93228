"""The nearest over several segments."""

from __future__ import annotations

import numpy as np

from actors.vectors.found import Found
from actors.vectors.top import top


def found(rows: list[list[int]], scores: list[list[float]]) -> Found:
    return Found(np.array(rows, np.int64), np.array(scores, np.float32))


ONE = found([[4, 2, -1], [1, -1, -1]], [[0.9, 0.2, -np.inf], [0.1, -np.inf, -np.inf]])
OTHER = found([[0, 3, 5], [-1, -1, -1]], [[0.5, 0.4, 0.1], [-np.inf, -np.inf, -np.inf]])


def test_the_nearest_of_all_segments_come_first() -> None:
    best = top([ONE, OTHER], 2, 3, None)
    assert best.counts.tolist() == [3, 1]
    assert list(zip(best.parts.tolist(), best.rows.tolist(), strict=True)) == [(0, 4), (1, 0), (1, 3), (0, 1)]
    assert np.allclose(best.scores, [0.9, 0.5, 0.4, 0.1])


def test_what_scores_below_the_threshold_is_left_out() -> None:
    best = top([ONE, OTHER], 2, 3, 0.4)
    assert (best.counts.tolist(), best.rows.tolist()) == ([3, 0], [4, 0, 3])
    assert top([ONE], 2, 3, 0.15).rows.tolist() == [4, 2]


def test_without_segments_there_is_nothing() -> None:
    best = top([], 2, 3, None)
    assert (best.counts.tolist(), best.rows.tolist()) == ([0, 0], [])


def test_a_hit_that_is_infinitely_far_is_still_one() -> None:
    far = found([[0, -1]], [[-np.inf, -np.inf]])
    assert top([far], 1, 2, None).rows.tolist() == [0]
    assert top([far, far], 1, 2, None).rows.tolist() == [0, 0]

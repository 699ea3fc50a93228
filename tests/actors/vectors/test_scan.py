"""The exact nearest: against the definition, whatever the sizes, the mask and the ties."""

from __future__ import annotations

import numpy as np
import pytest

from actors.vectors import scan as scanning
from actors.vectors.found import Mask
from actors.vectors.rows import Floats
from actors.vectors.scan import scan
from control.specs.collection import Metric


def by_definition(vectors: Floats, allowed: Mask | None, queries: Floats, k: int, metric: Metric) -> np.ndarray:
    wide = vectors.astype(np.float64)
    differences = queries[:, None].astype(np.float64) - wide[None]
    scores = -(differences**2).sum(2) if metric == "l2" else queries.astype(np.float64) @ wide.T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.where(np.isneginf(np.take_along_axis(scores, order, 1)), -1, order)
    return np.pad(rows, ((0, 0), (0, k - rows.shape[1])), constant_values=-1)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("queries", [1, 3, 4, 33])
@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.5, 1.0])
def test_the_nearest_allowed_rows_come_in_order_of_score_then_row(
    metric: Metric, queries: int, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BLOCK_ROWS", 170)
    monkeypatch.setattr(scanning, "BLOCK_BYTES", 50 * 4 * 6)
    random = np.random.default_rng(3)
    vectors = random.integers(0, 3, (400, 6)).astype(np.float32)  # of few values: most scores are shared
    asked = random.integers(0, 3, (queries, 6)).astype(np.float32)
    allowed = None if share is None else random.random(400) < share
    found = scan(vectors, allowed, asked, 10, metric)
    np.testing.assert_array_equal(found.rows, by_definition(vectors, allowed, asked, 10, metric))
    assert (np.isneginf(found.scores) == (found.rows < 0)).all()


@pytest.mark.parametrize("queries", [1, 32])
def test_near_neighbours_far_from_the_origin_keep_their_digits(queries: int) -> None:
    vectors = (10_000 + np.random.default_rng(3).random((500, 8))).astype(np.float32)
    found = scan(vectors, None, vectors[:queries], 10, "l2")
    np.testing.assert_array_equal(found.rows, by_definition(vectors, None, vectors[:queries], 10, "l2"))
    assert (found.scores[:, 0] == 0).all()


def test_a_segment_without_rows_has_no_nearest() -> None:
    found = scan(np.zeros((0, 4), np.float32), None, np.zeros((2, 4), np.float32), 3, "l2")
    assert (found.rows == -1).all()


def test_equal_rows_without_number_do_not_hide_the_first() -> None:
    found = scan(np.ones((5_000, 4), np.float32), None, np.ones((1, 4), np.float32), 3, "ip")
    assert found.rows.tolist() == [[0, 1, 2]]

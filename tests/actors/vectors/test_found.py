import numpy as np
import pytest

from actors.vectors.found import Found, among


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_first_allowed_ones_of_each_query_are_kept_in_their_order(share: float) -> None:
    chance = np.random.default_rng(5)
    rows = np.stack([chance.permutation(50)[:12] for _ in range(40)])
    rows[::3, 9:] = -1
    scores = np.where(rows < 0, -np.inf, -np.arange(40 * 12, dtype=np.float32).reshape(40, 12))
    allowed = chance.random(50) < share
    found = among(Found(rows, scores), allowed, 4)
    for at, asked in enumerate(rows):
        right = [row for row in asked if row >= 0 and allowed[row]][:4]
        assert found.rows[at].tolist() == right + [-1] * (4 - len(right))
        assert [-int(score) - 12 * at for score in found.scores[at, : len(right)]] == [
            asked.tolist().index(row) for row in right
        ]
        assert np.isneginf(found.scores[at, len(right) :]).all()

"""The bench of roll-outs: good versions come through, bad ones go back, the same seed tells the same."""

from __future__ import annotations

from scripts.bench.rollout import measure


def test_good_versions_come_through() -> None:
    row = measure("good", 2, seed=1)
    assert (row["promoted"], row["rolled_back"], row["undecided"]) == (2, 0, 0)


def test_bad_versions_go_back_and_the_same_seed_tells_the_same() -> None:
    row, again = (measure("errors", 2, seed=1) for _ in range(2))
    assert (row["promoted"], row["rolled_back"]) == (0, 2)
    assert row | {"took_s": 0} == again | {"took_s": 0}

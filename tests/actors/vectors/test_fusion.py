"""Rankings made one."""

from __future__ import annotations

import pytest

from actors.vectors.fusion import fuse


def test_what_two_rankings_have_comes_before_what_only_one_has() -> None:
    assert [key for key, _ in fuse([["a", "b", "c"], ["d", "b"]])] == ["b", "a", "d", "c"]


def test_the_sum_is_that_of_the_paper() -> None:
    assert dict(fuse([["a", "b"], ["b"]])) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61})


def test_one_ranking_keeps_its_order_and_none_is_nothing() -> None:
    assert [key for key, _ in fuse([[3, 1, 2]])] == [3, 1, 2]
    assert fuse([]) == []

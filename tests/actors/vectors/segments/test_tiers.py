"""Which segments are made into one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from actors.vectors.segments.tiers import GROWTH, Rebuild, Size, plan

SEALED = 1_000


def test_nothing_is_done_where_all_is_well() -> None:
    assert plan([]) is None
    assert plan([Size("a", 1_000, 100), Size("b", 10_000, 0)]) is None


def test_a_segment_without_an_index_gets_one() -> None:
    assert plan([Size("a", 1_000, 0, fresh=True), Size("b", 100_000, 0)]) == Rebuild(
        ("a",), "1 segments have no index yet"
    )


def test_what_is_rebuilt_takes_segments_of_like_size_with_it() -> None:
    sizes = [Size("a", 1_000, 0, fresh=True), Size("b", 2_000, 0), Size("c", 8_000, 0), Size("d", 90_000, 0)]
    found = plan(sizes)
    assert found == Rebuild(("a", "b", "c"), "1 segments have no index yet; 2 of like size join them")


def test_dead_segments_are_dropped_first() -> None:
    sizes = [Size("a", 1_000, 1_000), Size("b", 2_000, 0, fresh=True)]
    assert plan(sizes) == Rebuild(("a",), "all of their rows are dead")


def test_a_segment_with_many_dead_rows_is_compacted() -> None:
    assert plan([Size("a", 1_000, 200)]) is None
    assert plan([Size("a", 1_000, 201)]) == Rebuild(("a",), "201 of 1000 rows are dead")


def test_another_index_is_built_for_one_segment_after_the_other() -> None:
    sizes = [Size("a", 90_000, 0, outdated=True), Size("b", 5_000, 0, outdated=True)]
    assert plan(sizes) == Rebuild(("b",), "the collection asks for another index")


@pytest.mark.parametrize(
    "sizes",
    [
        [Size("a", 10, 0), Size("b", 10_000, 0)],
        [Size("a", 10, 1)],
        [Size("a", 10, 0, outdated=True)],
        [Size("a", 10, 0, fresh=True)],
    ],
)
def test_one_whole_segment_is_made_where_it_is_asked_for(sizes: list[Size]) -> None:
    found = plan(sizes, whole=True)
    assert found is not None
    assert found.names == tuple(one.name for one in sizes)


def test_one_whole_segment_without_dead_rows_stays() -> None:
    assert plan([Size("a", 10, 0)], whole=True) is None


def test_of_a_steady_stream_segments_stay_few_and_rows_are_rebuilt_a_few_times() -> None:
    segments: list[Size] = []
    indexed = 0
    for number in range(1_000):
        segments.append(Size(f"s{number}", SEALED, 0, fresh=True))
        while found := plan(segments):
            rows = sum(one.living for one in segments if one.name in found.names)
            segments = [one for one in segments if one.name not in found.names] + [Size(f"r{number}", rows, 0)]
            indexed += rows
        ascending = sorted(one.rows for one in segments)
        assert all(large >= GROWTH * small for small, large in pairwise(ascending))
    assert sum(one.rows for one in segments) == 1_000 * SEALED
    assert indexed <= 12 * 1_000 * SEALED


def test_of_a_bulk_load_almost_all_rows_are_indexed_once() -> None:
    first = plan([Size("s0", SEALED, 0, fresh=True)])
    assert first is not None
    meanwhile = [Size(f"s{number}", SEALED, 0, fresh=True) for number in range(1, 16)]
    second = plan([Size("r", SEALED, 0), *meanwhile])
    assert second is not None
    assert len(second.names) == 16

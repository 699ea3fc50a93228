"""Whatever the links and whichever devices are free: no other set of the same size is joined better."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.topology import Link, Links, best_set, links_for, numa_for, weakest

WORDS = ("NV18", "NV2", "NV1", "PIX", "PXB", "PHB", "NODE", "SYS")


@st.composite
def nodes(draw: st.DrawFn) -> tuple[Links, tuple[int, ...]]:
    """A node's links and NUMA nodes: declared, or anything."""
    size = draw(st.integers(1, 7))
    if draw(st.integers(0, 3)) == 0:
        return links_for(draw(st.sampled_from(["nvswitch", "nvlink", "pcie"])), size), numa_for(size)
    words = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4, unique=True))
    cells = {pair: draw(st.sampled_from(words)) for pair in combinations(range(size), 2)}
    links = tuple(tuple("X" if i == j else cells[min(i, j), max(i, j)] for j in range(size)) for i in range(size))
    return links, tuple(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))


def score(links: Links, chosen: tuple[int, ...]) -> int:
    return sum(Link.parse(links[i][j]).score for i, j in combinations(chosen, 2))


def near(numa: tuple[int, ...], chosen: tuple[int, ...]) -> int:
    return sum(numa[i] == numa[j] for i, j in combinations(chosen, 2))


def value(links: Links, numa: tuple[int, ...], free: list[int], chosen: tuple[int, ...]) -> tuple[object, ...]:
    """What `best_set` promises to maximise, straight from its docstring."""
    rest = tuple(sorted(set(free) - set(chosen)))
    lowest = tuple(-index for index in chosen)
    here = (weakest(links, chosen), score(links, chosen), near(numa, chosen))
    return (*here, score(links, rest), near(numa, rest), lowest)


@settings(max_examples=100, deadline=None)
@given(nodes(), st.data())
def test_no_other_set_is_better(node: tuple[Links, tuple[int, ...]], data: st.DataObject) -> None:
    links, numa = node
    free = data.draw(st.lists(st.sampled_from(range(len(links))), unique=True))
    count = data.draw(st.integers(0, len(free)))
    found = best_set(links, free, count, numa)
    assert len(found) == len(set(found)) == count
    assert set(found) <= set(free)
    best = max(combinations(sorted(free), count), key=lambda chosen: value(links, numa, free, chosen))
    assert found == best

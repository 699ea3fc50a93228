"""How devices are joined, and which of them are taken together."""

from __future__ import annotations

import random
import time
from itertools import combinations

import pytest

from control.scheduler import topology
from control.scheduler.topology import Level, Link, Links, best_set, links_for, numa_for, weakest

DGX_H100 = links_for("nvswitch", 8)
DGX_1 = links_for("nvlink", 8)
PCIE = links_for("pcie", 8)
NUMA = numa_for(8)


def matrix(text: str) -> Links:
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


def test_links_are_ordered_as_nvidia_smi_explains_them() -> None:
    words = ["SYS", "NODE", "PHB", "PXB", "PIX", "NV1", "NV2", "NV12", "NV18", "X"]
    links = [Link.parse(word) for word in words]
    assert links == sorted(links)
    assert [str(link) for link in links] == words
    scores = [link.score for link in links[:-1]]
    assert scores == sorted(set(scores)), "a better link has more bandwidth"


@pytest.mark.parametrize("text", ["", "NV", "NVx", "nv2", "PCIE", "18"])
def test_a_word_that_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"found a link '{text}'; expected X, NV with a count"):
        Link.parse(text)


def test_every_pair_of_a_dgx_h100_is_joined_by_all_of_its_nvlinks() -> None:
    assert {DGX_H100[i][j] for i, j in combinations(range(8), 2)} == {"NV18"}


def test_a_dgx_1_is_the_cube_mesh_that_nvidia_smi_prints() -> None:
    expected = matrix(
        """
        X NV1 NV1 NV2 NV2 SYS SYS SYS
        NV1 X NV2 NV1 SYS NV2 SYS SYS
        NV1 NV2 X NV2 SYS SYS NV1 SYS
        NV2 NV1 NV2 X SYS SYS SYS NV1
        NV2 SYS SYS SYS X NV1 NV1 NV2
        SYS NV2 SYS SYS NV1 X NV2 NV1
        SYS SYS NV1 SYS NV1 NV2 X NV2
        SYS SYS SYS NV1 NV2 NV1 NV2 X
        """
    )
    assert links_for("nvlink", 8) == expected
    for row in DGX_1:
        assert sum(Link.parse(cell).count for cell in row) == 6, "a V100 has six NVLinks"


def test_pcie_nodes_have_pairs_in_sockets() -> None:
    assert links_for("pcie", 6) == matrix(
        """
        X PIX NODE NODE SYS SYS
        PIX X NODE NODE SYS SYS
        NODE NODE X PIX SYS SYS
        NODE NODE PIX X SYS SYS
        SYS SYS SYS SYS X PIX
        SYS SYS SYS SYS PIX X
        """
    )
    assert numa_for(6) == (0, 0, 0, 0, 1, 1)


@pytest.mark.parametrize("interconnect", ["nvswitch", "nvlink", "pcie"])
@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 8, 10, 16])
def test_every_declared_shape_is_a_symmetric_matrix_with_one_numa_node_a_device(interconnect: str, gpus: int) -> None:
    links = links_for(interconnect, gpus)
    assert links == tuple(zip(*links, strict=True))
    assert [(i, j) for i in range(gpus) for j in range(gpus) if links[i][j] == "X"] == [(i, i) for i in range(gpus)]
    assert len(numa_for(gpus)) == gpus


def test_the_weakest_link_decides_for_a_set() -> None:
    assert weakest(DGX_1, (0, 1, 2, 3)) == Link(Level.NV, 1)
    assert weakest(DGX_1, (0, 3, 4)) == Link(Level.SYS)
    assert weakest(DGX_1, (2,)) == Link(Level.X)
    assert weakest((), (0, 1)) == Link(Level.SYS), "nobody knows"


@pytest.mark.parametrize(
    ("links", "free", "count", "expected", "why"),
    [
        (DGX_1, range(8), 4, (0, 1, 2, 3), "a quad is joined by NVLink throughout"),
        (DGX_1, (0, 1, 2, 4, 5, 6, 7), 4, (4, 5, 6, 7), "the quad that is still whole"),
        (DGX_1, range(8), 2, (0, 3), "two NVLinks, and the other quad stays whole"),
        (DGX_1, (0, 4, 5, 6, 7), 2, (5, 6), "two NVLinks on one socket, and so have 0 and 4, and 4 and 7, after it"),
        (DGX_1, (0, 1, 2, 3, 4), 1, (4,), "the quad stays whole"),
        (DGX_1, (0, 1, 3, 6, 7), 3, (0, 1, 3), "a triangle of NVLinks rather than two pairs"),
        (PCIE, range(8), 2, (0, 1), "a pair"),
        (PCIE, (0, 2, 3, 4, 5, 6, 7), 1, (0,), "the one whose pair is broken already"),
        (PCIE, (1, 2, 3, 5, 6, 7), 2, (2, 3), "a pair, and no other one is broken"),
        (PCIE, (2, 3, 4, 5, 6, 7), 2, (2, 3), "the socket with four free devices keeps them"),
        (PCIE, (0, 2, 4, 5, 6, 7), 4, (4, 5, 6, 7), "one socket"),
        (PCIE, (0, 1, 2, 4, 5, 6, 7), 3, (0, 1, 2), "one socket, and the other one's four stay together"),
        (DGX_H100, range(8), 3, (0, 1, 2), "all alike: the lowest"),
        (DGX_H100, (1, 2, 3, 4, 5, 6, 7), 4, (4, 5, 6, 7), "all alike but for the socket"),
        (DGX_H100, (0, 1, 2, 3, 7), 1, (7,), "four on one socket stay together"),
        ((), (3, 5, 7), 2, (3, 5), "nobody knows how they are joined"),
        (DGX_1, (), 0, (), "nothing is asked for"),
        (DGX_1, (5,), 1, (5,), "the only one"),
    ],
)
def test_the_best_set_is_taken(
    links: Links, free: tuple[int, ...], count: int, expected: tuple[int, ...], why: str
) -> None:
    numa = NUMA if links else ()
    assert best_set(links, free, count, numa) == expected, why


def test_a_set_does_not_depend_on_the_order_in_which_devices_are_named() -> None:
    assert best_set(DGX_1, (7, 3, 1, 0, 6), 3, NUMA) == best_set(DGX_1, (0, 1, 3, 6, 7), 3, NUMA)


def test_a_slow_link_is_not_made_up_for_by_fast_ones() -> None:
    links = matrix(
        """
        X NV18 SYS SYS SYS
        NV18 X SYS SYS SYS
        SYS SYS X PIX PIX
        SYS SYS PIX X PIX
        SYS SYS PIX PIX X
        """
    )
    assert best_set(links, range(5), 2) == (0, 1)
    assert best_set(links, range(5), 3) == (2, 3, 4)


@pytest.mark.parametrize("count", [-1, 3])
def test_more_devices_than_are_free_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} devices are asked for; expected 0 to 2"):
        best_set(DGX_1, (0, 1), count)


def test_the_devices_of_a_node_larger_than_can_be_searched_are_still_taken_together() -> None:
    links, numa = links_for("nvlink", 32), numa_for(32)
    assert best_set(links, range(4, 32), 4, numa) in [(4, 5, 6, 7), (8, 9, 10, 11)]
    assert best_set(links, [index for index in range(32) if index % 8 < 4 or index >= 24], 4, numa)[3] % 8 == 3
    assert len(best_set(links, range(32), 20, numa)) == 20


def shapes() -> list[Links]:
    """Nodes of 16 devices: the declared shapes, and one without any order in it."""
    chance = random.Random(5)
    cells = {
        pair: chance.choice(["NV2", "NV1", "PIX", "PXB", "PHB", "NODE", "SYS"]) for pair in combinations(range(16), 2)
    }
    drawn = tuple(tuple("X" if i == j else cells[min(i, j), max(i, j)] for j in range(16)) for i in range(16))
    return [*(links_for(interconnect, 16) for interconnect in ("nvswitch", "nvlink", "pcie")), drawn]


def test_sixteen_devices_are_searched_in_a_few_milliseconds() -> None:
    for links in shapes():
        for count in (4, 8):
            seconds = []
            for _ in range(5):
                topology._best_set.cache_clear()
                began = time.perf_counter()
                best_set(links, range(16), count, numa_for(16))
                seconds.append(time.perf_counter() - began)
            assert min(seconds) < 0.005

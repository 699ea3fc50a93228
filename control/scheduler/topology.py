"""How a node's devices are joined, and which of the free ones go together best. Pure.

A matrix of links is device × device as `nvidia-smi topo -m` writes it; an empty one means that nobody knows how the
devices are joined, and all of them are then alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Links = tuple[tuple[str, ...], ...]

EXACT = 16
"""With more free devices than this the best set is approached greedily."""


class Level(IntEnum):
    """What the way between two devices passes through, worst first."""

    SYS = 1  # the interconnect between sockets
    NODE = 2  # between PCIe host bridges of one NUMA node
    PHB = 3  # a PCIe host bridge
    PXB = 4  # several PCIe switches
    PIX = 5  # one PCIe switch
    NV = 6  # NVLink
    X = 7  # nothing: it is the same device


_SCORES: Mapping[Level, int] = {Level.SYS: 10, Level.NODE: 20, Level.PHB: 30, Level.PXB: 40, Level.PIX: 50}
_SCORE_OF_ONE_NVLINK = 100
"""Relative bandwidths, as NVIDIA's go-gpuallocator (policy best-effort) scores links."""


@dataclass(frozen=True, order=True)
class Link:
    """A way between two devices; the better one is greater. `count` is how many NVLinks it has, else 0."""

    level: Level
    count: int = 0

    @property
    def score(self) -> int:
        """Relative bandwidth."""
        return self.count * _SCORE_OF_ONE_NVLINK if self.level is Level.NV else _SCORES.get(self.level, 0)

    def __str__(self) -> str:
        return f"{self.level.name}{self.count or ''}"

    @staticmethod
    def parse(text: str) -> Link:
        """The link that a cell of `nvidia-smi topo -m` stands for. Raises ValueError."""
        if text.startswith("NV") and text[2:].isdigit():
            return Link(Level.NV, int(text[2:]))
        if text in Level.__members__ and text != "NV":
            return Link(Level[text])
        raise ValueError(f"found a link {text!r}; expected X, NV with a count, PIX, PXB, PHB, NODE or SYS")


_CUBE_MESH = (
    ("X", "NV1", "NV1", "NV2", "NV2", "SYS", "SYS", "SYS"),
    ("NV1", "X", "NV2", "NV1", "SYS", "NV2", "SYS", "SYS"),
    ("NV1", "NV2", "X", "NV2", "SYS", "SYS", "NV1", "SYS"),
    ("NV2", "NV1", "NV2", "X", "SYS", "SYS", "SYS", "NV1"),
    ("NV2", "SYS", "SYS", "SYS", "X", "NV1", "NV1", "NV2"),
    ("SYS", "NV2", "SYS", "SYS", "NV1", "X", "NV2", "NV1"),
    ("SYS", "SYS", "NV1", "SYS", "NV1", "NV2", "X", "NV2"),
    ("SYS", "SYS", "SYS", "NV1", "NV2", "NV1", "NV2", "X"),
)
"""The hybrid cube mesh of a DGX-1 with V100: its own `nvidia-smi topo -m`."""


def links_for(interconnect: str, gpus: int) -> Links:
    """The links of a declared node: a DGX-H100 or H200 (nvswitch), a DGX-1 with V100 (nvlink), PCIe pairs (pcie).

    Raises KeyError for another interconnect.
    """
    joined = {"nvswitch": _by_switch, "nvlink": _by_cube_mesh, "pcie": _by_pcie}[interconnect]
    numa = numa_for(gpus)
    return tuple(tuple("X" if i == j else joined(i, j, numa[i] == numa[j]) for j in range(gpus)) for i in range(gpus))


def numa_for(gpus: int) -> tuple[int, ...]:
    """The NUMA node of each device of a declared node: two sockets, no PCIe pair across them."""
    on_first = -(-gpus // 4) * 2
    return tuple(int(index >= on_first) for index in range(gpus))


def _by_switch(i: int, j: int, near: bool) -> str:
    return "NV18"


def _by_cube_mesh(i: int, j: int, near: bool) -> str:
    return _CUBE_MESH[i % 8][j % 8] if i // 8 == j // 8 else "SYS"


def _by_pcie(i: int, j: int, near: bool) -> str:
    if i // 2 == j // 2:
        return "PIX"
    return "NODE" if near else "SYS"


def weakest(links: Links, chosen: Sequence[int]) -> Link:
    """The slowest link inside a set of devices; X for fewer than two, SYS when nobody knows."""
    pairs = (Link.parse(links[i][j]) if links else Link(Level.SYS) for i, j in combinations(chosen, 2))
    return min(pairs, default=Link(Level.X))


def best_set(links: Links, free: Sequence[int], count: int, numa: Sequence[int] = ()) -> tuple[int, ...]:
    """The `count` of the `free` devices that are joined best, by index; ValueError when there are not so many.

    First the weakest link counts, as an all-reduce is as fast as its slowest link, then the sum of the bandwidths,
    then how many pairs are on one NUMA node. Among equals the set is taken that leaves the most bandwidth, and the most
    pairs on one NUMA node, among the rest: so pairs and quads stay whole. Then the lowest indexes are taken.
    """
    distinct = tuple(sorted(set(free)))
    if not 0 <= count <= len(distinct):
        raise ValueError(f"{count} devices are asked for; expected 0 to {len(distinct)}, as many as are free")
    return _best_set(links, distinct, count, tuple(numa))


@lru_cache(maxsize=1 << 16)
def _best_set(links: Links, free: tuple[int, ...], count: int, numa: tuple[int, ...]) -> tuple[int, ...]:
    """Nodes of one kind have one matrix, so that a cluster asks the same few questions over and over."""
    if count in (0, len(free)):
        return free[:count]
    every_rank, every_score = _matrices(links, numa, len(numa) or free[-1] + 1)
    among = np.ix_(free, free)
    ranks, scores = every_rank[among], every_score[among]
    off_diagonal = ~np.eye(len(free), dtype=bool)
    if np.ptp(ranks[off_diagonal]) == 0 and np.ptp(scores[off_diagonal]) == 0:
        return free[:count]
    search = _search_all if len(free) <= EXACT else _search_greedily
    return tuple(free[position] for position in search(ranks, scores, count))


_Ranks = NDArray[np.int8]
_Scores = NDArray[np.int64]
_HEAVIER_THAN_NUMA = 1 << 12  # more than there are pairs in the largest node


@lru_cache(maxsize=1 << 10)
def _matrices(links: Links, numa: tuple[int, ...], size: int) -> tuple[_Ranks, _Scores]:
    """For each pair of devices how its link ranks among the node's, and its bandwidth with NUMA as a tie-break."""
    cells = links or ((Level.SYS.name,) * size,) * size
    meant = {text: Link.parse(text) for row in cells for text in row}
    rank = {link: position for position, link in enumerate(sorted(set(meant.values())))}
    ranks = np.array([[rank[meant[text]] for text in row] for row in cells], dtype=np.int8)
    scores = np.array([[meant[text].score for text in row] for row in cells], dtype=np.int64)
    near = np.equal.outer(numa, numa) if numa else np.zeros_like(scores)
    return ranks, scores * _HEAVIER_THAN_NUMA + near


def _search_all(ranks: _Ranks, scores: _Scores, count: int) -> list[int]:
    """Every subset of at most EXACT devices is weighed; a subset is a bit mask, the first device its highest bit.

    Of two subsets of one size the one with the lower indexes is therefore the greater number.
    """
    n = len(ranks)
    ranks, scores = ranks[::-1, ::-1], scores[::-1, ::-1]
    weak, joined = _weigh_subsets(ranks, scores)
    sizes = np.bitwise_count(np.arange(1 << n, dtype=np.uint32))
    found = np.flatnonzero(sizes == count)
    found = found[weak[found] == weak[found].max()]
    found = found[joined[found] == joined[found].max()]
    left = joined[(1 << n) - 1 - found]
    best = int(found[left == left.max()].max())
    return [position for position in range(n) if best >> (n - 1 - position) & 1]


def _weigh_subsets(ranks: _Ranks, scores: _Scores) -> tuple[_Ranks, _Scores]:
    """For every subset the rank of its weakest link and the sum of its scores: each from the subset less one device."""
    n = len(ranks)
    weak = np.full(1 << n, np.iinfo(np.int8).max, dtype=np.int8)
    joined = np.zeros(1 << n, dtype=np.int64)
    for device in range(n):
        below = 1 << device
        to_weak, to_joined = weak[below : 2 * below], joined[below : 2 * below]
        for other in range(device):
            half = 1 << other
            np.minimum(to_weak[:half], ranks[device, other], out=to_weak[half : 2 * half])
            np.add(to_joined[:half], scores[device, other], out=to_joined[half : 2 * half])
        np.minimum(to_weak, weak[:below], out=to_weak)
        np.add(to_joined, joined[:below], out=to_joined)
    return weak, joined


def _search_greedily(ranks: _Ranks, scores: _Scores, count: int) -> list[int]:
    """From every device on, always the one that is joined best to those chosen; the best of what comes out."""
    found: list[tuple[int, int, list[int]]] = []
    lowest_first = -np.arange(len(ranks))
    for first in range(len(ranks)):
        chosen, weak, joined = [first], ranks[first].copy(), scores[first].copy()
        total, floor = 0, int(np.iinfo(np.int8).max)
        for _ in range(count - 1):
            weak[chosen] = -1
            best = int(np.lexsort((lowest_first, joined, weak))[-1])
            total, floor = total + int(joined[best]), min(floor, int(weak[best]))
            chosen.append(best)
            np.minimum(weak, ranks[best], out=weak)
            joined += scores[best]
        found.append((floor, total, chosen))
    return sorted(max(found, key=lambda one: (one[0], one[1], -one[2][0]))[2])

"""What the index of a segment is built as, and the memory that it takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Built = Literal["flat", "hnsw", "ivf_flat", "ivf_pq", "cagra"]
_FLOAT = _LINK = _LEVEL = _LIST_NUMBER = 4
_OFFSET = _ID = 8
_SLACK = 1.5
"""Of lists that grow by doubling: between 1 and 2 times what is in them, until they are read from their file."""


@dataclass(frozen=True)
class IndexPlan:
    """`reason` is a sentence for people. Parameters that do not belong to the kind are 0."""

    kind: Built
    reason: str = ""
    m: int = 0
    ef_construction: int = 0
    nlist: int = 0
    subvectors: int = 0
    bits: int = 0
    graph_degree: int = 0


@dataclass(frozen=True)
class IndexBytes:
    """`host` is what searches touch, and what should stay in memory; `file` are raw vectors that are read beside it;
    `device` is of a GPU, of hnsw and ivf_pq only while it builds. `peak` is what a build takes of the host's memory,
    without the rows that it is given.
    """

    host: int
    file: int
    device: int
    peak: int


def bytes_of(plan: IndexPlan, rows: int, dimension: int, *, gpu: bool = False) -> IndexBytes:
    """Of `rows` vectors of float32 (n, dimension). A GPU's index has a twin on the host, which is what is saved."""
    raw = rows * dimension * _FLOAT
    if plan.kind == "flat":
        return IndexBytes(raw, 0, raw if gpu else 0, raw)
    if plan.kind == "hnsw":
        host = raw + _links(rows, plan.m)
        return IndexBytes(host, 0, raw + _cagra(rows, 2 * plan.m) if gpu else 0, host)
    if plan.kind == "cagra":
        host = raw + _links(rows, plan.graph_degree // 2)
        return IndexBytes(host, 0, raw + _cagra(rows, plan.graph_degree), host)
    coarse = plan.nlist * dimension * _FLOAT
    if plan.kind == "ivf_flat":
        lists = rows * (dimension * _FLOAT + _ID)
        host = lists + coarse + rows * _LIST_NUMBER
        return IndexBytes(host, raw, lists + coarse if gpu else 0, host + int((_SLACK - 1) * lists) + raw)
    codes = rows * (-(-plan.subvectors * plan.bits // 8) + _ID)
    books = (1 << plan.bits) * dimension * _FLOAT
    host = codes + coarse + books + rows * _LIST_NUMBER
    return IndexBytes(host, raw, coarse if gpu else 0, host + int((_SLACK - 1) * codes) + raw)


def _links(rows: int, m: int) -> int:
    """An HNSW graph: 2 m links of each node on the lowest level, m on each above, where one of m nodes is."""
    above = m * _LINK / (m - 1)
    return int(rows * (2 * m * _LINK + _OFFSET + _LEVEL + above))


def _cagra(rows: int, degree: int) -> int:
    """On the device: it builds a graph of twice the degree, and prunes that into another one (arXiv 2308.15136)."""
    return 3 * rows * degree * _LINK

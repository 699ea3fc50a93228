"""Which structure searches a segment, with which parameters, and why. Pure: the control plane plans with it what the
data plane builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from control.specs.collection import CollectionSpec

Built = Literal["flat", "hnsw"]
FLAT_ROWS = 2_000
"""Up to so many rows a scan is faster than any structure, and exact."""
M = 16
EF_CONSTRUCTION = 128


@dataclass(frozen=True)
class Choice:
    """`reason` is a sentence for people."""

    kind: Built
    reason: str
    m: int = 0
    ef_construction: int = 0


def choose(rows: int, spec: CollectionSpec) -> Choice:
    if rows <= FLAT_ROWS:
        return Choice("flat", f"{rows:,} rows are scanned: up to {FLAT_ROWS:,} that is exact and the fastest")
    if spec.index.kind == "flat":
        return Choice("flat", "the collection asks for kind flat")
    return Choice("hnsw", "", spec.index.m or M, spec.index.ef_construction or EF_CONSTRUCTION)

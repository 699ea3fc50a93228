"""An index that finds what it is told to find: some of the nearest, in order, and counts what it is asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from actors.vectors.found import Found, Mask
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from actors.vectors.scan import scan
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind


@dataclass
class FakeIndex:
    """Exact over the rows that it `reaches` (None: all), at `candidates` distances a neighbour asked for."""

    vectors: Floats
    kind: IndexKind = "hnsw"
    reaches: Mask | None = None
    candidates: float = 20.0
    widths: list[int] = field(default_factory=list)

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        assert tuning.ef_search is not None, "a search needs complete parameters"
        self.widths.append(k)
        return scan(self.vectors, self.reaches, queries, k, "l2")

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        return dataclasses.replace(tuning, ef_search=max(tuning.ef_search or 0, k, wide))

    def retuned(self, spec: CollectionSpec) -> Self:
        return self

    def cost(self, tuning: Tuning, k: int) -> float:
        assert tuning.ef_search is not None
        return tuning.ef_search * self.candidates

    def save(self, directory: Path) -> None:
        np.save(directory / "vectors.npy", self.vectors)

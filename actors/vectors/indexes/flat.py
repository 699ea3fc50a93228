"""Every row is measured: what small segments are searched with, and the truth that the others are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import faiss

from actors.vectors.found import Found
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.indexes.storage import flat_over, map_vectors, nearest, save_vectors, whole
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind


@dataclass(frozen=True, eq=False)
class Flat:
    index: faiss.IndexFlat
    vectors: Floats
    spec: CollectionSpec
    kind: IndexKind = "flat"

    @classmethod
    def build(cls, blocks: Sequence[Floats], spec: CollectionSpec) -> Self:
        vectors = whole(blocks)
        return cls(flat_over(vectors, spec.metric), vectors, spec)

    @classmethod
    def load(cls, directory: Path, receipt: Receipt, spec: CollectionSpec) -> Self:
        return cls.build([map_vectors(directory, receipt.rows, spec.dimension)], spec)

    def save(self, directory: Path) -> None:
        save_vectors(directory, self.vectors)
        Receipt("flat", len(self.vectors), self.spec.dimension, self.spec.metric).write(directory)

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        return nearest(self.index, queries, k, self.spec.metric)

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        return tuning

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, spec=spec)

    def cost(self, tuning: Tuning, k: int) -> float:
        return float(len(self.vectors))

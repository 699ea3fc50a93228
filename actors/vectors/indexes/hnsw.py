"""HNSW (Malkov and Yashunin, arXiv 1603.09320) in memory over mapped vectors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Self

import faiss
import numpy as np

from actors.vectors.found import Found, Rows
from actors.vectors.indexes.calibration import Sample, draw
from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.indexes.storage import METRICS, flat_over, map_vectors, nearest, save_vectors, vectors_in
from actors.vectors.indexes.tuning import MEASURED, Curve
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_plan import IndexPlan

GRAPH = "graph.faiss"
SLICE = 2_048
"""Rows that are added at once: seconds at most pass until a build is asked whether it goes on."""
_ENOUGH = 0.999
_WIDEST = 2_048
_JUMP = 512
"""Dimensions that a scan measures while a walk waits for the memory of its next row and keeps its candidates. Measured:
a distance of a walk takes 5 to 15 times as long as one of a scan at 32 to 128 dimensions, and 1 to 2 times at 784.
"""


@dataclass(frozen=True, eq=False)
class Hnsw:
    graph: faiss.IndexHNSW
    storage: faiss.IndexFlat
    vectors: Floats
    spec: CollectionSpec
    ef: Curve
    kind: Literal["hnsw", "cagra"]

    @classmethod
    def build(
        cls, blocks: Iterable[Floats], rows: int, spec: CollectionSpec, plan: IndexPlan, between: Callable[[int], None]
    ) -> Self:
        graph = faiss.IndexHNSWFlat(spec.dimension, plan.m, METRICS[spec.metric])
        graph.hnsw.efConstruction = plan.ef_construction
        storage = faiss.downcast_index(graph.storage)
        _reserve(storage.codes, rows * spec.dimension * 4)
        # Levels are drawn, so that there may be some links more than one expects.
        _reserve(graph.hnsw.neighbors, int(1.02 * rows * (2 * plan.m + plan.m / (plan.m - 1))))
        for block in blocks:
            for at in range(0, len(block), SLICE):
                between(graph.ntotal)
                graph.add(block[at : at + SLICE])
        return cls.over(graph, spec, "hnsw", lambda: between(graph.ntotal))

    @classmethod
    def over(
        cls, graph: faiss.IndexHNSW, spec: CollectionSpec, kind: Literal["hnsw", "cagra"], between: Callable[[], None]
    ) -> Self:
        """A graph that has all its rows, calibrated."""
        storage = faiss.downcast_index(graph.storage)
        vectors = vectors_in(storage)
        sample = draw(vectors, spec.metric, between, avoid=graph.hnsw.entry_point)
        return cls(graph, storage, vectors, spec, _measured(graph, sample, spec, between), kind)

    @classmethod
    def load(cls, directory: Path, receipt: Receipt, spec: CollectionSpec) -> Self:
        rows = receipt.rows
        vectors = map_vectors(directory, rows, spec.dimension)
        try:
            graph = faiss.read_index(str(directory / GRAPH), faiss.IO_FLAG_SKIP_STORAGE)
        except RuntimeError as error:
            raise IndexDamaged(f"{directory / GRAPH}: {error}") from error
        if not isinstance(graph, faiss.IndexHNSW) or graph.ntotal != rows or graph.d != spec.dimension:
            found = f"{type(graph).__name__} of {graph.ntotal} x {graph.d}"
            raise IndexDamaged(f"{directory / GRAPH}: found {found}, expected HNSW of {rows} x {spec.dimension}")
        storage = flat_over(vectors, spec.metric)
        graph.storage = storage
        graph.own_fields = False
        kind: Literal["hnsw", "cagra"] = "cagra" if receipt.kind == "cagra" else "hnsw"
        return cls(graph, storage, vectors, spec, receipt.curves["ef_search"], kind)

    def save(self, directory: Path) -> None:
        save_vectors(directory, self.vectors)
        faiss.write_index(self.graph, str(directory / GRAPH), faiss.IO_FLAG_SKIP_STORAGE)
        rows, curves = len(self.vectors), {"ef_search": self.ef}
        Receipt(self.kind, rows, self.spec.dimension, self.spec.metric, curves).write(directory)

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        return nearest(self.graph, queries, k, self.spec.metric, _parameters(tuning.ef_search))

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        """Of those that a walk looks at `share` are allowed: as many of them as are looked at for k among all do."""
        spec, wide = self.spec.index, max(k, wide)
        ef = tuning.ef_search or spec.ef_search
        if ef is None:
            target = spec.target_recall
            ef = min(self.ef.least(target, wide), math.ceil(self.ef.least(target, k) / share))
        return dataclasses.replace(tuning, ef_search=max(ef, wide))

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, spec=spec)

    def cost(self, tuning: Tuning, k: int) -> float:
        return max(tuning.ef_search or 0, k) * self._a_step

    @cached_property
    def _a_step(self) -> float:
        return float(self.graph.hnsw.nb_neighbors(0) / 2 * (1 + _JUMP / self.spec.dimension))


def _reserve(vector: faiss.MaybeOwnedVectorUInt8 | faiss.MaybeOwnedVectorInt32, size: int) -> None:
    """So that it does not double, which would take three times its size for a while and twice for good."""
    vector.resize(size)
    vector.resize(0)


@lru_cache(maxsize=256)
def _parameters(ef: int) -> faiss.SearchParametersHNSW:
    return faiss.SearchParametersHNSW(efSearch=ef)


def _measured(graph: faiss.IndexHNSW, sample: Sample, spec: CollectionSpec, between: Callable[[], None]) -> Curve:
    values, recalls, ef = [], [], MEASURED[0]
    with _bridged(graph, sample.rows):
        while True:
            between()
            k = MEASURED[0] if ef < MEASURED[1] else MEASURED[1]
            found = nearest(graph, sample.queries, k, spec.metric, _parameters(ef))
            values.append(ef)
            recalls.append(sample.recalls(found))
            if min(recalls[-1]) >= _ENOUGH or ef > min(_WIDEST, graph.ntotal // 8):
                return Curve(tuple(values), tuple(zip(*recalls, strict=True)))
            ef = ef * 5 // 4 + 1


@contextmanager
def _bridged(graph: faiss.IndexHNSW, rows: Rows) -> Iterator[None]:
    """No walk comes upon the rows meanwhile: as queries they are then as hard as if they had never been added, since
    in the graph each is one step from its neighbours.

    A link to one of them leads to a neighbour of its instead: left out alone, each would leave a hole at the very place
    that is searched, where the graph would have linked across. Measured on six data sets, recall is then that of unseen
    queries up to .01, and .005 from .98 on. Above the lowest level the link leads back to its start, which is as none.
    """
    hnsw = graph.hnsw
    neighbors = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    offsets = faiss.rev_swig_ptr(hnsw.offsets.data(), hnsw.offsets.size()).astype(np.int64)
    width = hnsw.nb_neighbors(0)
    drawn = np.zeros(graph.ntotal + 1, np.bool_)
    drawn[rows] = True
    at = np.flatnonzero(drawn[neighbors])
    links = neighbors[at].copy()
    starts = np.searchsorted(offsets, at, side="right") - 1
    onward = neighbors[offsets[links][:, None] + np.arange(width)]
    usable = (onward >= 0) & ~drawn[onward] & (onward != starts[:, None])
    usable &= (at - offsets[starts] < width)[:, None]
    chance = np.where(usable, np.random.default_rng(0).random(usable.shape), -1.0)
    neighbors[at] = np.where(usable.any(axis=1), onward[np.arange(len(at)), chance.argmax(axis=1)], starts)
    try:
        yield
    finally:
        neighbors[at] = links

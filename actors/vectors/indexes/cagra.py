"""CAGRA (Ootomo et al., arXiv 2308.15136): a graph that a GPU builds and walks. Needs FAISS with cuVS.

Its twin on the CPU is an HNSW index over the same graph: it is calibrated, saved, and asked when the GPU is not there.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import faiss

from actors.vectors.found import Found
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.storage import METRICS, nearest, whole
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_plan import IndexPlan

_STEP, _WIDEST = 32, 512
"""Candidates that a walk keeps are a multiple of the one, and kept in a block's memory up to the other."""


def present() -> bool:
    return hasattr(faiss, "GpuIndexCagra") and faiss.get_num_gpus() > 0


@dataclass(frozen=True, eq=False)
class Cagra:
    """A walk keeps as many candidates as the twin's, `ef_search`. `resources` must outlive `index`."""

    twin: Hnsw
    index: faiss.Index
    resources: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    kind: Literal["cagra"] = "cagra"

    @classmethod
    def build(
        cls, blocks: Sequence[Floats], spec: CollectionSpec, plan: IndexPlan, between: Callable[[int], None]
    ) -> Self:
        resources, config = faiss.StandardGpuResources(), faiss.GpuIndexCagraConfig()
        config.graph_degree, config.intermediate_graph_degree = plan.graph_degree, 2 * plan.graph_degree
        index = faiss.GpuIndexCagra(resources, spec.dimension, METRICS[spec.metric], config)
        between(0)
        index.train(whole(blocks))
        graph = faiss.IndexHNSWCagra()
        graph.base_level_only = True
        index.copyTo(graph)
        return cls(Hnsw.over(graph, spec, "cagra", lambda: between(graph.ntotal)), index, resources)

    @classmethod
    def of(cls, twin: Hnsw) -> Self:
        resources = faiss.StandardGpuResources()
        return cls(twin, faiss.index_cpu_to_gpu(resources, 0, twin.graph), resources)

    @property
    def vectors(self) -> Floats:
        return self.twin.vectors

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        wide = -(-max(k, tuning.ef_search or 0) // _STEP) * _STEP
        if wide > _WIDEST:
            return self.twin.search(queries, k, tuning)
        parameters = faiss.SearchParametersCagra()
        parameters.itopk_size = wide
        with self.lock:
            return nearest(self.index, queries, k, self.twin.spec.metric, parameters)

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        return self.twin.tuned(tuning, k, wide, share)

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, twin=self.twin.retuned(spec))

    def cost(self, tuning: Tuning, k: int) -> float:
        return self.twin.cost(tuning, k)

    def save(self, directory: Path) -> None:
        self.twin.save(directory)

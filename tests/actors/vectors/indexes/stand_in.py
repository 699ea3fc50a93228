"""Stands for FAISS's GPU module where there is none: the indexes of the CPU under the rules of a GPU.

Whatever a GPU would do wrong without a word, or end the process for, is an AssertionError here: a selector, more
neighbours or lists than its kernels select, two callers at once, rows that are gone before the graph is copied.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import pytest

MOST, WIDEST, NOT_FOUND = 2_048, 512, (1 << 32) - 1


class Resources:
    """What FAISS takes when it is told nothing, in bytes."""

    def __init__(self) -> None:
        self.scratch, self.pinned = 1_536 << 20, 256 << 20

    def setTempMemory(self, size: int) -> None:
        self.scratch = size

    def setPinnedMemory(self, size: int) -> None:
        self.pinned = size


class WalkParameters:
    itopk_size = 64


class GraphConfig:
    graph_degree, intermediate_graph_degree, guarantee_connectivity = 64, 128, False


class Centroids(faiss.IndexFlat):
    """Of a class of FAISS's own: k-means and inverted lists ask it behind Python's back."""


@dataclass
class Copy:
    """`index` is of the CPU."""

    index: faiss.Index
    gpu: StandIn
    busy: threading.Lock = field(default_factory=threading.Lock)

    @property
    def d(self) -> int:
        return int(self.index.d)

    def search(self, queries: Any, k: int, params: Any = None) -> Any:
        assert self.busy.acquire(blocking=False), "a GPU index is searched by two at once"
        try:
            if self.gpu.full:
                raise RuntimeError("alloc fail: out of memory")
            assert getattr(params, "sel", None) is None, "a GPU ignores selectors"
            if isinstance(self.index, faiss.IndexHNSW):
                assert k <= params.itopk_size <= WIDEST
                params = faiss.SearchParametersHNSW(efSearch=params.itopk_size)
            else:
                assert max(k, getattr(params, "nprobe", 1)) <= MOST
            self.gpu.asked.append((len(queries), k))
            scores, rows = self.index.search(queries, k, params=params)
            rows[rows < 0] = NOT_FOUND if isinstance(self.index, faiss.IndexHNSW) else -1
            return scores, rows
        finally:
            self.busy.release()


class Graph:
    """CAGRA's, for which HNSW makes one."""

    def __init__(self, gpu: StandIn, resources: Resources, dimension: int, metric: int, config: GraphConfig) -> None:
        self.dimension, self.metric, self.degree, self.gpu = dimension, metric, config.graph_degree, gpu
        gpu.resources.append(resources)

    def train(self, vectors: Any) -> None:
        if self.gpu.full:
            raise MemoryError("std::bad_alloc")
        self.rows = weakref.ref(vectors)
        self.gpu.graphs.append((len(vectors), self.degree))

    def copyTo(self, graph: faiss.IndexHNSWCagra) -> None:
        vectors = self.rows()
        assert vectors is not None, "FAISS reads the rows again, and they are gone"
        made = faiss.IndexHNSWCagra(self.dimension, self.degree // 2, self.metric)
        made.add(vectors)
        graph.d, graph.ntotal, graph.metric_type, graph.is_trained = made.d, made.ntotal, made.metric_type, True
        graph.hnsw, graph.storage = made.hnsw, made.storage
        made.own_fields, graph.own_fields = False, True


@dataclass
class StandIn:
    """`full`: there is no memory left on it. `copied` are the rows of what came onto it, by the class; `graphs` those
    of what was built on it, with the links of each; `asked` the queries of each search, and its k.
    """

    full: bool = False
    resources: list[Resources] = field(default_factory=list)
    copied: list[tuple[str, int]] = field(default_factory=list)
    graphs: list[tuple[int, int]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch, *, cuvs: bool = True) -> None:
        names: dict[str, Any] = {
            "StandardGpuResources": Resources,
            "get_num_gpus": lambda: 1,
            "index_cpu_to_gpu": self.copy,
        }
        if cuvs:
            names |= {
                "GpuIndexCagraConfig": GraphConfig,
                "GpuIndexCagra": lambda *given: Graph(self, *given),
                "SearchParametersCagra": WalkParameters,
            }
        for name, stand_in in names.items():
            monkeypatch.setattr(faiss, name, stand_in, raising=False)

    def copy(self, resources: Resources, device: int, index: faiss.Index) -> Any:
        assert device == 0
        if self.full:
            raise RuntimeError("alloc fail: out of memory")
        self.resources.append(resources)
        self.copied.append((type(index).__name__, index.ntotal))
        if isinstance(index, faiss.IndexFlat) and index.ntotal < 1_000:
            centroids = Centroids(index.d, index.metric_type)
            centroids.add(np.ascontiguousarray(index.reconstruct_n(0, index.ntotal)))
            return centroids
        assert isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat | faiss.IndexHNSWCagra), "not on a GPU"
        return Copy(index, self)

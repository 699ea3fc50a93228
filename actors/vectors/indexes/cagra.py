"""CAGRA (Ootomo et al., arXiv 2308.15136): a graph that a GPU builds, and walks as well. Needs FAISS with cuVS.

On the CPU it is an HNSW index with that graph as its lowest level: that is what is calibrated and saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import faiss

from actors.vectors.indexes import device
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.storage import METRICS, whole
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_plan import IndexPlan

WIDEST = 512
"""Candidates that a walk can keep in a block's memory."""
_STEP = 32
"""They are a multiple of it."""


def build(blocks: Sequence[Floats], spec: CollectionSpec, plan: IndexPlan, between: Callable[[int], None]) -> Hnsw:
    """Of kind cagra, or hnsw with as many links a row as `m` asks for. RuntimeError or MemoryError where the GPU has
    not enough memory. `between` is not asked while the GPU builds, which takes seconds.
    """
    between(0)
    graph = _graph(whole(blocks), spec, plan.graph_degree or 2 * plan.m)
    return Hnsw.over(graph, spec, "cagra" if plan.kind == "cagra" else "hnsw", lambda: between(graph.ntotal))


def _graph(vectors: Floats, spec: CollectionSpec, degree: int) -> faiss.IndexHNSWCagra:
    """`vectors` outlive the copy, for which FAISS reads them where they were when it built the graph."""
    config = faiss.GpuIndexCagraConfig()
    config.graph_degree, config.intermediate_graph_degree = degree, 2 * degree
    config.guarantee_connectivity = True
    index = faiss.GpuIndexCagra(device.resources(), spec.dimension, METRICS[spec.metric], config)
    index.train(vectors)
    graph = faiss.IndexHNSWCagra()
    index.copyTo(graph)
    return graph


def width(k: int, tuning: Tuning) -> int:
    """Candidates of a walk for `ef_search` of the twin's."""
    return -(-max(k, tuning.ef_search or 0) // _STEP) * _STEP


def walking(width: int) -> faiss.SearchParameters:
    parameters = faiss.SearchParametersCagra()
    parameters.itopk_size = width
    return parameters

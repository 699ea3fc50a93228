"""Which structure searches a segment, with which parameters, and why. Pure: the control plane places shards by what the
data plane will build.
"""

from __future__ import annotations

import math

from control.specs.collection import CollectionSpec
from control.specs.index_plan import Built, IndexPlan, bytes_of
from control.specs.vector_index import divisor

FLAT_ROWS = 2_000
"""Up to so many rows a scan is about as fast as any structure, and exact."""
FLAT_ROWS_GPU = 200_000
"""The same of a GPU, where a scan reads terabytes a second."""
M = 16
M_PRODUCTS = 32
"""Of inner products, where long vectors attract every link: with 16, recall@100 ended at .985 on test data, whatever
the width of the search; with 32 it reaches .99 at a quarter of the width.
"""
EF_CONSTRUCTION = 128
GRAPH_DEGREE = 64
BITS = 4
"""FAISS scans codes of 4 bits in registers: three to eight times as fast as codes of 8 bits over the same bytes."""
_BITS_A_DIMENSION = 2
"""Of product codes: a sixteenth of the raw vectors."""
_TRAINED_ON = 39
"""Rows a list: fewer train a centroid badly, says FAISS."""


def choose(rows: int, spec: CollectionSpec, *, memory: int | None = None, cuvs: bool = False) -> IndexPlan:
    """`memory` are the bytes that the segment may take, None where that is no matter; `cuvs` says that FAISS was built
    with cuVS, which CAGRA needs.
    """
    index, gpu = spec.index, spec.index.device == "gpu"
    if rows <= FLAT_ROWS:
        return IndexPlan(
            "flat", f"{rows:,} rows are scanned: up to {FLAT_ROWS:,} that is exact and about as fast as any"
        )
    if index.kind == "cagra" and not cuvs:
        return _of_kind("ivf_flat", rows, spec, "cagra needs FAISS with cuVS, which is not installed here")
    if index.kind != "auto":
        return _of_kind(index.kind, rows, spec, f"the collection asks for kind {index.kind}")
    if gpu and rows <= FLAT_ROWS_GPU:
        return IndexPlan("flat", f"a GPU scans {rows:,} rows: up to {FLAT_ROWS_GPU:,} that is exact and fast")
    if gpu:
        return _of_kind("cagra" if cuvs else "ivf_flat", rows, spec, f"{rows:,} rows on a GPU")
    hnsw = _of_kind("hnsw", rows, spec, f"{rows:,} rows fit in memory, where it is the fastest of a high recall")
    need = bytes_of(hnsw, rows, spec.dimension).host
    if memory is None or need <= memory:
        return hnsw
    short = f"hnsw would take {need:,} bytes of memory, and there are {memory:,}"
    return _of_kind("ivf_pq", rows, spec, f"{short}: codes in memory, vectors on disk")


def _of_kind(kind: Built, rows: int, spec: CollectionSpec, reason: str) -> IndexPlan:
    index = spec.index
    if kind == "hnsw":
        usual = M_PRODUCTS if spec.metric == "ip" else M
        return IndexPlan("hnsw", reason, m=index.m or usual, ef_construction=index.ef_construction or EF_CONSTRUCTION)
    if kind == "cagra":
        return IndexPlan("cagra", reason, graph_degree=index.graph_degree or GRAPH_DEGREE)
    if kind == "flat":
        return IndexPlan("flat", reason)
    # FAISS's guidelines have 4 to 16 times the root of the rows as lists.
    nlist = min(index.nlist or int(4 * math.sqrt(rows)), rows // _TRAINED_ON)
    if kind == "ivf_flat":
        return IndexPlan(kind, reason, nlist=nlist)
    bits = min(index.bits or BITS, rows.bit_length() - 1)  # a code book of 2^bits is made of as many rows at least
    subvectors = index.subvectors or divisor(spec.dimension, _BITS_A_DIMENSION * spec.dimension / bits)
    return IndexPlan(kind, reason, nlist=nlist, subvectors=subvectors, bits=bits)

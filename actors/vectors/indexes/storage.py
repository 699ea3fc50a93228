"""Raw vectors where FAISS searches them: once in memory, whoever looks at them.

It owns `vectors.npy` of an index's directory, which is written once and mapped. It must never be changed under a
mapping: another build writes another directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from actors.vectors.found import Found, Rows
from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.rows import Floats
from control.specs.collection import Metric

VECTORS = "vectors.npy"
METRICS: dict[Metric, int] = {
    "l2": faiss.METRIC_L2,
    "ip": faiss.METRIC_INNER_PRODUCT,
    "cosine": faiss.METRIC_INNER_PRODUCT,
}


def save_vectors(directory: Path, vectors: Floats) -> None:
    np.save(directory / VECTORS, vectors, allow_pickle=False)


def map_vectors(directory: Path, rows: int, dimension: int) -> Floats:
    """(rows, dimension) of the file, mapped; IndexDamaged where it holds something else."""
    try:
        vectors: Floats = np.load(directory / VECTORS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise IndexDamaged(f"{directory / VECTORS}: {error}") from error
    if vectors.shape != (rows, dimension) or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        found = f"{vectors.dtype} of {vectors.shape}"
        raise IndexDamaged(f"{directory / VECTORS}: found {found}, expected float32 of {(rows, dimension)}")
    return vectors


def flat_over(vectors: Floats, metric: Metric) -> faiss.IndexFlat:
    """An exact index over the array itself, which must outlive it. Nothing may be added to it."""
    dimension = vectors.shape[1]
    flat = faiss.IndexFlatL2(dimension) if metric == "l2" else faiss.IndexFlat(dimension, METRICS[metric])
    octets = vectors.view(np.uint8).reshape(-1)
    flat.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(octets), octets.size, flat.codes.owner)
    flat.ntotal = len(vectors)
    return flat


def vectors_in(flat: faiss.IndexFlat) -> Floats:
    """The vectors that FAISS holds, (n, dimension), without a copy; valid as long as it lives."""
    vectors: Floats = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return vectors


def whole(blocks: Sequence[Floats]) -> Floats:
    """All rows in one contiguous array: the only block itself, else a copy."""
    return np.ascontiguousarray(blocks[0] if len(blocks) == 1 else np.concatenate(blocks), dtype=np.float32)


def nearest(
    index: faiss.Index, queries: Floats, k: int, metric: Metric, parameters: faiss.SearchParameters | None = None
) -> Found:
    """What FAISS finds, with scores as nearness."""
    if queries.shape[1] != index.d:
        raise ValueError(f"queries of dimension {queries.shape[1]}, expected {index.d}")
    scores, rows = index.search(queries, k, params=parameters)
    return as_found(rows, scores, metric)


def as_found(rows: Rows, scores: Floats, metric: Metric) -> Found:
    """FAISS's (q, k) distances or products as nearness, changed in place."""
    if metric == "l2":
        np.negative(scores, out=scores)
    if rows[:, -1].min(initial=0) < 0:
        scores[rows < 0] = -np.inf
    return Found(rows, scores)


def scores_of(queries: Floats, vectors: Floats, rows: NDArray[np.integer], metric: Metric) -> Floats:
    """Exact scores of (q, r) rows, those of query i in row i; -inf where a row is -1."""
    scores = np.empty(rows.shape, np.float32)
    wanted = np.ascontiguousarray(rows, np.int64)
    flat_over(vectors, metric).compute_distance_subset(
        len(queries), faiss.swig_ptr(queries), rows.shape[1], faiss.swig_ptr(scores), faiss.swig_ptr(wanted)
    )
    return np.negative(scores, out=scores) if metric == "l2" else scores

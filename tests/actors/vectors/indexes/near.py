"""Data sets and the truth about them, for the tests of indexes."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from actors.vectors.found import Found
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.index import Index
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec, Metric


def opened(vectors: Floats, spec: CollectionSpec, directory: Path) -> Index:
    """The index as it is searched: built of two blocks, saved, and put where it belongs."""
    build_index([vectors[:1000], vectors[1000:]], spec).save(directory)
    return load_index(directory, spec)


def points(name: str, rows: int, queries: int = 200) -> tuple[Floats, Floats]:
    """Vectors and queries of the same distribution, which an index has not seen."""
    random = np.random.default_rng(7)
    count = rows + queries
    if name == "clusters":
        centres = random.normal(size=(50, 48))
        made = centres[random.integers(0, 50, count)] + 0.5 * random.normal(size=(count, 48))
    elif name == "uniform":
        made = random.random((count, 32))
    elif name == "sift":  # few true dimensions, none negative, heavy tails
        made = np.abs(random.normal(size=(count, 12)) @ random.normal(size=(12, 128))) ** 1.3
    else:  # directions of few true dimensions, of very different lengths
        lengths = np.exp(0.4 * random.normal(size=(count, 1)))
        made = (random.normal(size=(count, 24)) @ random.normal(size=(24, 64))) * lengths
    if name == "directions":
        made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made[:rows].astype(np.float32), made[rows:].astype(np.float32)


def truth(vectors: Floats, queries: Floats, k: int, metric: Metric) -> Floats:
    """The score of the k-th nearest of each query."""
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    scores: Floats = faiss.knn(queries, vectors, k, metric=kind)[0][:, -1]
    return -scores if metric == "l2" else scores


def recall(found: Found, worst: Floats) -> float:
    """The share of what was found that is as near as the k-th nearest."""
    return float((found.scores >= (worst - 1e-4 * np.abs(worst))[:, None]).mean())

"""How near to exact an index is: its own rows as queries, each as if it were not in the index.

Fixed tables of parameters do not carry over from one data set to another, so each index measures its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from actors.vectors.found import Found, Rows
from actors.vectors.indexes.storage import METRICS
from actors.vectors.indexes.tuning import MEASURED
from actors.vectors.rows import Floats
from control.specs.collection import Metric

QUERIES = 512
CONFIDENCE = 1.645
"""Standard errors below the mean: the true recall is above with a probability of 95 %."""
_RANKED = 2 * MEASURED[-1]
"""Of the nearest, so that enough are left without those drawn."""
_TOLERANCE = 1e-5
"""Of a score, relative: equal vectors are measured alike by all kernels up to rounding."""


@dataclass(frozen=True)
class Sample:
    """`rows` are the queries' own numbers; `neighbours` the true (queries, MEASURED[-1]) among the rows not drawn,
    nearest first, and `worst` (queries, len(MEASURED)) the score of the k-th of them.
    """

    rows: Rows
    queries: Floats
    neighbours: Rows
    worst: Floats

    def recalls(self, found: Found) -> tuple[float, ...]:
        """What recall@k is at least, for each k of MEASURED; 0.0 where fewer were asked for. None drawn was found."""
        bounds = []
        for k, worst in zip(MEASURED, self.worst.T, strict=True):
            least = worst - np.abs(worst) * _TOLERANCE
            hits = found.scores[:, :k] >= least[:, None]
            bounds.append(lower_bound(hits.sum(axis=1) / k) if found.rows.shape[1] >= k else 0.0)
        return tuple(bounds)


def lower_bound(shares: NDArray[np.float64]) -> float:
    return float(shares.mean() - CONFIDENCE * shares.std() / np.sqrt(len(shares)))


def draw(vectors: Floats, metric: Metric, avoid: Rows, between: Callable[[], None]) -> Sample:
    """At most a sixteenth of the rows; the same for the same rows."""
    drawn = np.zeros(len(vectors), np.bool_)
    drawn[np.random.default_rng(0).choice(len(vectors), min(QUERIES, len(vectors) // 16), replace=False)] = True
    drawn[avoid] = False
    rows = np.flatnonzero(drawn)
    queries = np.ascontiguousarray(vectors[rows])
    parts = []
    for at in range(0, len(rows), 64):
        between()
        parts.append(faiss.knn(queries[at : at + 64], vectors, _RANKED, metric=METRICS[metric])[1])
    ranked = np.concatenate(parts)
    left = ~drawn[ranked]
    full = left.sum(axis=1) >= MEASURED[-1]
    ranked, left, rows, queries = ranked[full], left[full], rows[full], queries[full]
    neighbours = ranked[left & (left.cumsum(axis=1) <= MEASURED[-1])].reshape(len(rows), MEASURED[-1])
    worst = np.stack([_score(queries, vectors[neighbours[:, k - 1]], metric) for k in MEASURED], axis=1)
    return Sample(rows, queries, neighbours, worst)


def _score(queries: Floats, vectors: Floats, metric: Metric) -> Floats:
    if metric == "l2":
        queries = vectors = queries - vectors
    scores: Floats = np.einsum("ij,ij->i", queries, vectors)
    return -scores if metric == "l2" else scores

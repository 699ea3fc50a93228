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
from actors.vectors.indexes.storage import METRICS, scores_of
from actors.vectors.indexes.tuning import MEASURED, Curve
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


def curve_of(needed: Rows, most: int) -> Curve:
    """From the least value of a parameter, up to `most`, with which each of (queries, MEASURED[-1]) is found."""
    values = [1]
    while values[-1] < most:
        values.append(min(values[-1] * 9 // 8 + 1, most))
    recalls = [[lower_bound((needed[:, :k] <= value).mean(axis=1)) for value in values] for k in MEASURED]
    return Curve(tuple(values), tuple(map(tuple, recalls)))


def draw(vectors: Floats, metric: Metric, between: Callable[[], None], avoid: int = -1) -> Sample:
    """At most one of 32 rows, without one that is to be avoided; the same for the same rows."""
    drawn = np.zeros(len(vectors), np.bool_)
    drawn[np.random.default_rng(0).choice(len(vectors), min(QUERIES, len(vectors) // 32), replace=False)] = True
    if avoid >= 0:
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
    worst = scores_of(queries, vectors, neighbours[:, np.array(MEASURED) - 1], metric)
    return Sample(rows, queries, neighbours, worst)

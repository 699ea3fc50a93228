"""Searches of inverted lists for some of the rows only, which know when they have looked far enough.

How far that is follows from the data: a neighbour of score s lies in a list whose centroid is by at most a measured
gap farther. Filters that allow nothing near a query thus make it look where the allowed rows are, however far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from actors.vectors.found import Found, Mask, Rows
from actors.vectors.indexes.calibration import Sample
from actors.vectors.indexes.lists import ListNumbers
from actors.vectors.indexes.storage import METRICS, scores_of, vectors_in
from actors.vectors.rows import Floats
from control.specs.collection import Metric

Scan = Callable[[Rows, Floats, int], Found]
"""Of the lists (q, width), -1 for none, at these distances, the k nearest rows."""
_NEAR = 0.999
_FAR = 0.9995
"""Quantiles of the gap: the nearest rows of a far list are not like its others, they are nearer than most."""
_THINNED = 64
_MOST = 0.5
"""Of the allowed rows: where more would be measured, a scan of all of them is as fast and exact."""


@dataclass(frozen=True)
class Reach:
    """`gaps` belong to the ascending `scores` of rows; both of queries of length 1 for inner products."""

    scores: tuple[float, ...]
    gaps: tuple[float, ...]

    def gap(self, scores: Floats) -> NDArray[np.float64]:
        return np.interp(scores, self.scores, self.gaps)


def measured(
    quantizer: faiss.IndexFlat, numbers: ListNumbers, vectors: Floats, sample: Sample, metric: Metric
) -> Reach:
    """From near neighbours, those in a thinned set of rows, and rows at random, which are far from a query."""
    random = np.random.default_rng(3)
    queries = sample.queries / lengths(sample.queries, metric)
    thin = np.sort(random.choice(len(vectors), len(vectors) // _THINNED, replace=False))
    kind = METRICS[metric]
    thinned = thin[faiss.knn(queries, vectors[thin], min(10, len(thin)), metric=kind)[1]]
    far = random.integers(0, len(vectors), (len(queries), _THINNED))
    near = sample.neighbours
    anchors = []
    for rows, quantile in ((near[:, :10], _NEAR), (near, _NEAR), (thinned, _NEAR), (far, _FAR)):
        scores = scores_of(queries, vectors, rows, metric)
        gaps = scores - scores_of(queries, vectors_in(quantizer), numbers[rows], metric)
        anchors.append((float(scores.mean()), float(np.quantile(gaps, quantile))))
    ascending, gap = zip(*sorted(anchors), strict=True)
    return Reach(ascending, gap)


def lengths(queries: Floats, metric: Metric) -> Floats:
    """(q, 1) of what scores are in proportion to; ones where they are distances."""
    if metric == "l2":
        return np.ones((len(queries), 1), np.float32)
    length: Floats = np.linalg.norm(queries, axis=1, keepdims=True)
    return np.where(length > 0, length, np.float32(1))


def search_lists(
    scan: Scan,
    quantizer: faiss.IndexFlat,
    rows_in: Rows,
    reach: Reach,
    queries: Floats,
    k: int,
    nprobe: int,
    metric: Metric,
) -> Found | None:
    """The k nearest of `rows_in` allowed rows in each list, or None where a scan of all those is better.

    First the nearest `nprobe` lists that have allowed rows, and k of them; then every other list that could hold a
    nearer one than the k-th found.
    """
    distances, order = quantizer.search(queries, quantizer.ntotal)
    held = rows_in[order]
    open_ = held > 0
    seen = held.cumsum(axis=1)
    first = open_ & ((open_.cumsum(axis=1) <= nprobe) | (seen - held < k))
    found = _scan_chosen(scan, first, order, distances, k)
    scale = lengths(queries, metric)
    worst = found.scores[:, -1:] / scale
    nearness = (-distances if metric == "l2" else distances) / scale
    more = open_ & ~first & (nearness + reach.gap(worst) >= worst)
    if (held * (first | more)).sum() > _MOST * rows_in.sum() * len(queries):
        return None
    if not more.any():
        return found
    return merged(found, _scan_chosen(scan, more, order, distances, k))


def _scan_chosen(scan: Scan, chosen: Mask, order: Rows, distances: Floats, k: int) -> Found:
    width = max(int(chosen.sum(axis=1).max()), 1)
    lists, at = np.full((len(order), width), -1, np.int64), np.zeros((len(order), width), np.float32)
    row, column = np.nonzero(chosen)
    place = (chosen.cumsum(axis=1) - 1)[row, column]
    lists[row, place], at[row, place] = order[row, column], distances[row, column]
    return scan(lists, at, k)


def merged(one: Found, other: Found) -> Found:
    """The nearest of both, as many as `one` has."""
    scores = np.concatenate([one.scores, other.scores], axis=1)
    rows = np.concatenate([one.rows, other.rows], axis=1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : one.rows.shape[1]]
    return Found(np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1))

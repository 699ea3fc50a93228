"""The exact nearest among some rows of a segment: what every approximate answer falls back to, and is judged by.

Pure computation on memory it is given. Beyond the answer it takes 8 bytes for each of at most BLOCK_ROWS allowed rows
and BLOCK_BYTES of gathered vectors, however many rows are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import faiss
import numpy as np

from actors.vectors.found import Found, Mask, Rows
from actors.vectors.rows import Floats
from control.specs.collection import Metric

BLOCK_ROWS = 1 << 20
BLOCK_BYTES = 4 << 20
"""Of vectors that are gathered at once: they stay in a core's cache while all queries are measured against them."""
GATHER_FROM = 4
"""Queries from which gathering rows beats measuring them where they lie (100 to 50,000 rows of 128 and 784)."""
MOST = 8 / 9
"""Of the rows: where more are allowed they are measured where they lie, without the others: nothing is gathered."""
_EVERY = faiss.IDSelectorAll()
"""With a selector FAISS measures each row by itself. Without one it takes |x|² + |y|² - 2xy from 20 queries on, which
loses all digits of near neighbours far from the origin, and is no faster on blocks of this size."""


def scan(vectors: Floats, allowed: Mask | None, queries: Floats, k: int, metric: Metric) -> Found:
    """The k nearest of the allowed rows of `vectors` (n, dimension), equal scores in the order of their rows."""
    queries = np.ascontiguousarray(queries, np.float32)
    wide = k + 1
    while True:
        found = reduce(_nearer, _blocks(vectors, allowed, queries, wide, metric))
        # FAISS keeps any of equal scores: none that belongs to the answer is missing once a lower one is there too.
        tied = (found.scores[:, k - 1] == found.scores[:, wide - 1]) & (found.rows[:, wide - 1] >= 0)
        if not tied.any():
            return Found(found.rows[:, :k], found.scores[:, :k])
        wide *= 2


def _blocks(vectors: Floats, allowed: Mask | None, queries: Floats, k: int, metric: Metric) -> Iterator[Found]:
    for start in range(0, max(1, len(vectors)), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        if allowed is None:
            yield _moved(_measure(block, queries, k, metric), start)
            continue
        mask = allowed[start : start + BLOCK_ROWS]
        rows = np.flatnonzero(mask)
        if len(rows) > MOST * len(block) and len(queries) >= GATHER_FROM:
            yield _moved(_measure(block, queries, k, metric, mask), start)
        else:
            yield _moved(_measure_rows(block, rows, queries, k, metric), start)


def _nearer(one: Found, other: Found) -> Found:
    """The nearest of both; the rows of `one` come before those of `other`."""
    k = one.rows.shape[1]
    scores = np.concatenate((one.scores, other.scores), axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.concatenate((one.rows, other.rows), axis=1)
    return Found(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


def _measure_rows(vectors: Floats, rows: Rows, queries: Floats, k: int, metric: Metric) -> Found:
    if len(queries) < GATHER_FROM:
        return _measure_in_place(vectors, rows, queries, k, metric)
    step = max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    parts = []
    for start in range(0, max(1, len(rows)), step):
        some = rows[start : start + step]
        part = _measure(vectors[some], queries, k, metric)
        real = part.rows >= 0
        part.rows[real] = some[part.rows[real]]
        parts.append(part)
    return reduce(_nearer, parts)


def _measure_in_place(vectors: Floats, rows: Rows, queries: Floats, k: int, metric: Metric) -> Found:
    numbers = np.empty((len(queries), k), np.int64)
    measures = np.empty((len(queries), k), np.float32)
    measure = faiss.knn_L2sqr_by_idx if metric == "l2" else faiss.knn_inner_products_by_idx
    pointers = [faiss.swig_ptr(one) for one in (queries, vectors, rows)]
    sizes = (vectors.shape[1], len(queries), len(vectors), len(rows), k)
    measure(*pointers, *sizes, faiss.swig_ptr(measures), faiss.swig_ptr(numbers), 0)
    return _ordered(numbers, measures, metric)


def _measure(vectors: Floats, queries: Floats, k: int, metric: Metric, allowed: Mask | None = None) -> Found:
    numbers = np.empty((len(queries), k), np.int64)
    measures = np.empty((len(queries), k), np.float32)
    bits = None if allowed is None else np.packbits(allowed, bitorder="little")
    selector = _EVERY if bits is None else faiss.IDSelectorBitmap(8 * bits.size, faiss.swig_ptr(bits))
    asked = faiss.swig_ptr(queries), faiss.swig_ptr(vectors), vectors.shape[1], len(queries), len(vectors), k
    found = faiss.swig_ptr(measures), faiss.swig_ptr(numbers)
    if metric == "l2":
        faiss.knn_L2sqr(*asked, *found, None, selector)
    else:
        faiss.knn_inner_product(*asked, *found, selector)
    return _ordered(numbers, measures, metric)


def _ordered(numbers: Rows, measures: Floats, metric: Metric) -> Found:
    scores = -measures if metric == "l2" else measures
    scores[numbers < 0] = -np.inf
    if (scores[:, 1:] == scores[:, :-1]).any():
        order, query = np.lexsort((numbers, -scores)), np.arange(len(scores))[:, None]
        return Found(numbers[query, order], scores[query, order])
    return Found(numbers, scores)


def _moved(found: Found, start: int) -> Found:
    return found if start == 0 else Found(np.where(found.rows < 0, -1, found.rows + start), found.scores)

"""Searches that ask for the same of other vectors made one, and cut again. Pure.

A batch costs an index, and each step on the way to it, little more than a query.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from actors.vectors.query import Hits, Query


def kind_of(query: Query) -> Hashable:
    """Equal for queries that one search can answer."""
    return query.vectors.shape[1:], query.k, query.where, query.threshold, query.columns, query.tuning, query.level


def together(queries: Sequence[Query]) -> Query:
    """All their vectors, for a reader who has applied what each of them asks for; all are of one kind."""
    if len(queries) == 1:
        return queries[0]
    vectors = np.concatenate([one.vectors for one in queries])
    return replace(queries[0], vectors=vectors, token=max(one.token for one in queries))


def split(hits: Hits, sizes: Sequence[int]) -> list[Hits]:
    """The hits of so many queries each, one after the other."""
    if len(sizes) == 1:
        return [hits]
    ends = np.concatenate([[0], np.cumsum(hits.counts)]).tolist()
    parts = []
    for start, end in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        low, high = ends[start], ends[end]
        rows = None if hits.rows is None else hits.rows.slice(low, high - low)
        ids = hits.ids.slice(low, high - low)
        parts.append(Hits(hits.counts[start:end], ids, hits.scores[low:high], rows, hits.seq))
    return parts

"""Searches that ask for the same of other vectors made one, and cut again. Pure.

A batch costs an index, and each step on the way to it, little more than a query.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from actors.vectors.merging import one_batch
from actors.vectors.query import Hits, Query


def kind_of(query: Query) -> Hashable:
    """Equal for queries that one search can answer."""
    return query.k, query.where, query.threshold, query.columns, query.tuning, query.level


def together(queries: Sequence[Query]) -> Query:
    """All their vectors, for a reader who has applied what each of them asks for; all are of one kind."""
    if len(queries) == 1:
        return queries[0]
    vectors = np.concatenate([one.vectors for one in queries])
    return replace(queries[0], vectors=vectors, token=max(one.token for one in queries))


def shares(query: Query, most: int, least: int) -> list[Query]:
    """At most `most` queries, alike in size, of at least `least` vectors each; at least one."""
    count = max(1, min(most, len(query.vectors) // least))
    return [replace(query, vectors=part) for part in np.array_split(query.vectors, count)] if count > 1 else [query]


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


def joined(parts: Sequence[Hits]) -> Hits:
    """What `split` took apart. `seq` is the least of the parts'."""
    if len(parts) == 1:
        return parts[0]
    rows = [one.rows for one in parts if one.rows is not None]
    return Hits(
        np.concatenate([one.counts for one in parts]),
        pa.concat_arrays([one.ids for one in parts]),
        np.concatenate([one.scores for one in parts]),
        one_batch(pa.Table.from_batches(rows)) if rows else None,
        min(one.seq for one in parts),
    )

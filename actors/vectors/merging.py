"""The answers of several shards made into one. Pure, and without a loop over queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.query import Hits
from actors.vectors.rows import ID


def merge_hits(parts: Sequence[Hits], k: int, offset: int = 0) -> Hits:
    """Of each query the k nearest over all parts, without the first `offset` of them; of equals the earlier part's.

    `seq` is the least of the parts'.
    """
    if len(parts) == 1 and not offset:
        return parts[0]
    queries = len(parts[0].counts)
    query = np.concatenate([np.repeat(np.arange(queries), one.counts) for one in parts])
    scores = np.concatenate([one.scores for one in parts])
    order = np.lexsort((-scores, query))
    counts = np.sum([one.counts for one in parts], axis=0, dtype=np.int64)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = order[(rank >= offset) & (rank < offset + k)]
    ids = pa.concat_arrays([one.ids for one in parts]).take(pa.array(kept))
    rows = [one.rows for one in parts if one.rows is not None]
    together = pa.Table.from_batches(rows).take(pa.array(kept)) if rows else None
    return Hits(
        np.clip(counts - offset, 0, k).astype(np.int32),
        ids,
        scores[kept],
        None if together is None else one_batch(together),
        min(one.seq for one in parts),
    )


def in_order(batches: Sequence[pa.RecordBatch], ids: pa.Array) -> pa.RecordBatch:
    """Rows of all batches in the order of `ids`, without those that are in none."""
    table = one_batch(pa.Table.from_batches(batches))
    at = pc.index_in(ids, value_set=table.column(ID))
    return table.take(at.drop_null())


def first_by_id(batches: Sequence[pa.RecordBatch], limit: int) -> pa.RecordBatch:
    """The rows with the least ids, in the order of ids."""
    table = one_batch(pa.Table.from_batches(batches))
    return table.take(pc.sort_indices(table.column(ID))[:limit])


def one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([one.combine_chunks() for one in table.columns], schema=table.schema)

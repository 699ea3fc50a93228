"""Queries and hits as bytes: plain values in one pickle, which costs a tenth of what Ray takes for the objects.

Only replicas and their clients, which trust each other, read them.
"""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa

from actors.vectors.changes import from_bytes, to_bytes
from actors.vectors.query import Hits, Level, Query, Tuning
from control.specs.vector_filter import EVERYTHING

_PLAIN = Tuning()


def query_bytes(query: Query) -> bytes:
    vectors = np.ascontiguousarray(query.vectors, np.float32)
    where = None if query.where == EVERYTHING else query.where
    tuning = None if query.tuning == _PLAIN else query.tuning
    return pickle.dumps(
        (
            vectors.tobytes(), vectors.shape, query.k, where, query.threshold, query.columns, tuning,
            query.level.value, query.token,
        ),
        5,
    )  # fmt: skip


def read_query(body: bytes) -> Query:
    data, shape, k, where, threshold, columns, tuning, level, token = pickle.loads(body)
    vectors = np.frombuffer(data, np.float32).reshape(shape)
    return Query(
        vectors, k, EVERYTHING if where is None else where, threshold, columns, tuning or _PLAIN, Level(level), token
    )


def hits_bytes(hits: Hits) -> bytes:
    whole = pa.types.is_int64(hits.ids.type)
    ids = hits.ids.to_numpy().tobytes() if whole else hits.ids.to_pylist()
    rows = None if hits.rows is None else to_bytes(hits.rows)
    return pickle.dumps((hits.counts.tobytes(), ids, hits.scores.tobytes(), rows, hits.seq), 5)


def read_hits(body: bytes) -> Hits:
    counts, ids, scores, rows, seq = pickle.loads(body)
    return Hits(
        np.frombuffer(counts, np.int32),
        pa.array(np.frombuffer(ids, np.int64)) if isinstance(ids, bytes) else pa.array(ids, pa.string()),
        np.frombuffer(scores, np.float32),
        None if rows is None else from_bytes(rows),
        seq,
    )

"""What shards answer, as clients see it: JSON, with scores as people know them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from actors.vectors.fusion import fuse
from actors.vectors.query import Hits
from actors.vectors.rows import ID, VECTOR, vectors_of
from control.specs.collection import CollectionSpec, Metric
from serve_apps.vectors.bodies import Include

Row = dict[str, Any]
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z
_MOST = float(np.finfo(np.float32).max)
_ULPS = 3e-7
"""Of a float32: a distance that was answered, given as a threshold, is within it again."""


def encoded(document: Any) -> bytes:
    """Numbers of 32 bits are as short as they can be, instants in RFC 3339."""
    return orjson.dumps(document, option=_OPTIONS)


def columns_of(include: Collection[Include], spec: CollectionSpec) -> tuple[str, ...]:
    """What is asked of the shards for it."""
    fields = tuple(field.name for field in spec.fields) if "metadata" in include else ()
    return (*fields, VECTOR) if "vector" in include else fields


def nearness(threshold: float, metric: Metric) -> float:
    """The score of shards at the threshold that a client gives, within 32 bits as they are."""
    score = -threshold * threshold * (1 + _ULPS) if metric == "l2" else threshold
    return max(-_MOST, min(_MOST, score))


def rows_of(batch: pa.RecordBatch, include: Collection[Include]) -> list[Row]:
    """Of n rows with their ids: id, and what is included."""
    return _described([{"id": one} for one in batch.column(ID).to_pylist()], batch, include)


def results_of(hits: Hits, metric: Metric | None, include: Collection[Include], offset: int) -> list[list[Row]]:
    """For each query its hits from the `offset`th on. The metric is None where scores are not of vectors."""
    scores = np.sqrt(np.maximum(-hits.scores, 0)) if metric == "l2" else hits.scores
    # A float of Python would be written with the digits that it has beyond the 32 bits.
    rows = [{"id": one, "score": score} for one, score in zip(hits.ids.to_pylist(), scores, strict=True)]
    rows = _described(rows, hits.rows, include)
    ends = np.cumsum(hits.counts).tolist()
    return [rows[min(end - count + offset, end) : end] for end, count in zip(ends, hits.counts.tolist(), strict=True)]


def fused(parts: Sequence[Hits], k: int) -> Hits:
    """All the rankings in `parts` as one, of the k best. Every part has its columns, or none has."""
    ids = pa.concat_arrays([part.ids for part in parts])
    keys, rankings, start = ids.to_pylist(), [], 0
    for count in np.concatenate([part.counts for part in parts]).tolist():
        rankings.append(keys[start : start + count])
        start += count
    first: dict[int | str, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    best = fuse(rankings)[:k]
    places = pa.array([first[key] for key, _ in best], pa.int64())
    batches = [part.rows for part in parts if part.rows is not None]
    rows = pa.concat_batches(batches).take(places) if batches else None
    counts = np.array([len(best)], np.int32)
    return Hits(counts, ids.take(places), np.array([score for _, score in best], np.float32), rows, 0)


def _described(rows: list[Row], batch: pa.RecordBatch | None, include: Collection[Include]) -> list[Row]:
    """Each of `rows` with what is included of it in `batch`, which is None where there is nothing to include."""
    if "metadata" in include:
        names = [] if batch is None else [name for name in batch.schema.names if name not in (ID, VECTOR)]
        columns = [] if batch is None else [batch.column(name).to_pylist() for name in names]
        told: Iterable[tuple[Any, ...]] = zip(*columns, strict=True) if columns else repeat((), len(rows))
        for row, values in zip(rows, told, strict=True):
            row["metadata"] = {name: one for name, one in zip(names, values, strict=True) if one is not None}
    if "vector" in include and batch is not None:
        for row, vector in zip(rows, np.ascontiguousarray(vectors_of(batch)), strict=True):
            row["vector"] = vector
    return rows

"""Rows, entries and a dictionary that says what a shard must answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from actors.vectors.entry import Entry, Kind
from actors.vectors.rows import Floats, row_schema, vector_column
from control.specs.collection import CollectionSpec

Row = tuple[list[float], int | None, str | None]
"""Vector, year and colour."""
COLUMNS = ("vector", "year", "colour")


def spec_of(kind: str = "flat", ids: str = "integer", metric: str = "l2", dimension: int = 3) -> CollectionSpec:
    fields = [{"name": "year", "type": "integer"}, {"name": "colour", "type": "keyword", "index": False}]
    body = {"dimension": dimension, "metric": metric, "ids": ids, "fields": fields, "index": {"kind": kind}}
    return CollectionSpec.model_validate(body)


def body_of(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def batch_of(spec: CollectionSpec, rows: Sequence[tuple[int | str, Row]]) -> pa.RecordBatch:
    vectors = np.array([row[0] for _, row in rows], np.float32).reshape(len(rows), spec.dimension)
    schema = row_schema(spec)
    ids = pa.array([one for one, _ in rows], schema.field("id").type)
    years = pa.array([row[1] for _, row in rows], pa.int64())
    colours = pa.array([row[2] for _, row in rows], pa.string())
    return pa.record_batch([ids, vector_column(vectors), years, colours], schema=schema)


def upsert(spec: CollectionSpec, seq: int, rows: Sequence[tuple[int | str, Row]], epoch: int = 1) -> Entry:
    return Entry(epoch, seq, Kind.UPSERT, body_of(batch_of(spec, rows)))


def delete(spec: CollectionSpec, seq: int, ids: Sequence[int | str], epoch: int = 1) -> Entry:
    array = pa.array(ids, row_schema(spec).field("id").type)
    return Entry(epoch, seq, Kind.DELETE, body_of(pa.record_batch([array], names=["id"])))


@dataclass
class Model:
    """What a shard holds, as a dictionary."""

    spec: CollectionSpec
    rows: dict[int | str, Row] = field(default_factory=dict)

    def scores(self, query: Floats) -> dict[int | str, float]:
        vectors = {one: np.array(row[0], np.float32) for one, row in self.rows.items()}
        if self.spec.metric == "l2":
            return {one: -float(((vector - query) ** 2).sum()) for one, vector in vectors.items()}
        return {one: float(vector @ query) for one, vector in vectors.items()}

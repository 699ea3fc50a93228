"""Rows as bytes, and a change of some of their columns made into whole rows. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.rows import ID


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """As an Arrow IPC stream: the body of an entry."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def from_bytes(body: bytes) -> pa.RecordBatch:
    """Without a copy of the columns."""
    with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
        return stream.read_next_batch()


def of_ids(ids: pa.Array) -> pa.RecordBatch:
    """The rows of a deletion."""
    return pa.record_batch([ids], names=[ID])


def whole_rows(change: pa.RecordBatch, current: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of `current`, whole but for the columns of `change`, with those put in. Other ids are left out.

    A null in `change` takes the value away. Ids are unique in each.
    """
    where = pc.index_in(current.column(ID), value_set=change.column(ID))
    columns = [
        change.column(name).take(where) if name in change.schema.names else current.column(name)
        for name in schema.names
    ]
    return pa.record_batch(columns, schema=schema)

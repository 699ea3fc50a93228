"""Rows in an Arrow IPC stream made into those that shards take, or refused as a whole. Pure.

What a client sends is checked before anything reads it: offsets that lead out of a buffer would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.rows import ID, VECTOR, Floats, row_schema, vector_column
from control.specs.collection import CollectionSpec
from control.specs.problem import nearest, one_of, show
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.arrow_column import cast, check, first
from serve_apps.vectors.arrow_size import unpacked
from serve_apps.vectors.batch import Batch, checked, unique
from serve_apps.vectors.limits import LONGEST_ID, MOST_ROWS
from serve_apps.vectors.refusals import invalid

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
MOST_BYTES = 1 << 28
"""Of the rows in memory, which a stream may compress."""


@dataclass(frozen=True)
class Columns:
    """Of n rows: `vectors` is None where there is no such column, and the texts are to be embedded."""

    rows: pa.RecordBatch
    vectors: Floats | None


def read_arrow(body: bytes, spec: CollectionSpec) -> Columns:
    """All that is in the stream but the vectors, in the types of the collection. Raises ApiError 400."""
    table = _table(body)
    if not 0 < table.num_rows <= MOST_ROWS:
        raise invalid("the stream", f"{table.num_rows} rows", f"1 to {MOST_ROWS}")
    schema = row_schema(spec)
    names = table.schema.names
    for name in names:
        if name not in schema.names or names.count(name) > 1:
            found = f"no field {show(name)}" if name not in schema.names else "a column twice"
            raise invalid(name[:64], found, one_of(schema.names), nearest(name[:64], schema.names))
    if ID not in names:
        raise invalid(ID, "no such column", "the ids of the rows")
    batch = table.combine_chunks().to_batches()[0]
    columns = [
        cast(batch.column(field.name), field) if field.name in names else pa.nulls(len(batch), field.type)
        for field in schema
        if field.name != VECTOR
    ]
    kept = pa.schema([field for field in schema if field.name != VECTOR])
    if columns[0].null_count:
        raise invalid(f"{ID}[{first(columns[0].is_null())}]", "nothing", "an id")
    if spec.ids == "string" and (long := pc.greater(pc.utf8_length(columns[0]), LONGEST_ID)).true_count:
        raise invalid(f"{ID}[{first(long)}]", "a longer text", f"at most {LONGEST_ID} characters")
    rows = pa.record_batch(columns, schema=kept)
    for one in spec.fields:
        check(rows.column(one.name), one)
    return Columns(rows, vectors_in(batch.column(VECTOR), spec) if VECTOR in names else None)


def whole(columns: Columns, vectors: Floats, spec: CollectionSpec) -> Batch:
    """With the vectors that they have or were given, normalised."""
    schema = row_schema(spec)
    parts = [vector_column(vectors) if name == VECTOR else columns.rows.column(name) for name in schema.names]
    return unique(pa.record_batch(parts, schema=schema))


def vectors_in(column: pa.Array, spec: CollectionSpec) -> Floats:
    """Of lists of numbers, fixed in size or not. Raises ApiError 400."""
    kind, expected = column.type, f"lists of {spec.dimension} numbers"
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise invalid(VECTOR, f"type {kind}", expected)
    if column.null_count:
        raise invalid(_at(first(column.is_null())), "nothing", expected)
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if not (lengths == spec.dimension).all():
        row = int(np.argmax(lengths != spec.dimension))
        raise invalid(_at(row), f"{lengths[row]} numbers", f"{spec.dimension}: the collection's dimension")
    flat = column.flatten()
    if flat.null_count or not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise invalid(VECTOR, f"type {kind}, {flat.null_count} nulls in the lists", expected)
    with np.errstate(over="ignore"):
        numbers = flat.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return checked(numbers.reshape(len(column), spec.dimension), spec, _at)


def _table(body: bytes) -> pa.Table:
    try:
        if (size := unpacked(body)) > MOST_BYTES:
            raise invalid("the stream", f"{size} bytes when unpacked", f"at most {MOST_BYTES}")
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            parts, count = [], 0
            for part in stream:
                count += len(part)
                if count > MOST_ROWS:
                    raise invalid("the stream", f"{count} rows and more", f"at most {MOST_ROWS}")
                part.validate(full=True)  # before anything follows its offsets, as `nbytes` does
                parts.append(_readable(part))
            return pa.Table.from_batches(parts) if parts else stream.schema.empty_table()
    except ApiError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ApiError(400, "invalid_arrow", f"The request body is not an Arrow IPC stream: {reason}") from None


def _readable(part: pa.RecordBatch) -> pa.RecordBatch:
    """ValueError where Python cannot read how a column is called, or its type."""
    try:
        return pa.RecordBatch.from_arrays(part.columns, part.schema.names)
    except KeyError as error:
        raise ValueError(f"a column is of type {error}, of which nobody here knows") from None


def _at(row: int) -> str:
    return f"{VECTOR}[{row}]"

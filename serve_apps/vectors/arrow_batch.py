"""Rows in an Arrow IPC stream made into those that shards take, or refused as a whole. Pure.

What a client sends is checked before anything reads it: offsets that lead out of a buffer would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.vectors.rows import ID, VECTOR, Floats, row_schema, vector_column
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.metadata_value import EARLIEST, EXPECTED, LATEST
from control.specs.problem import nearest, one_of, show
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.arrow_size import unpacked
from serve_apps.vectors.batch import Batch, checked, unique
from serve_apps.vectors.limits import LONGEST_ID, MOST_ROWS, MOST_VALUES
from serve_apps.vectors.refusals import invalid

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
MOST_BYTES = 1 << 28
"""Of the rows in memory, which a stream may compress."""
_TAKEN: dict[int, tuple[Callable[[pa.DataType], bool], ...]] = {
    pa.string().id: (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer),
    pa.int64().id: (pa.types.is_integer, pa.types.is_floating),
    pa.float64().id: (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    pa.bool_().id: (pa.types.is_boolean,),
    pa.timestamp("us").id: (pa.types.is_timestamp, pa.types.is_date, pa.types.is_string, pa.types.is_large_string),
    pa.struct([]).id: (pa.types.is_struct,),
}
"""By the type of a collection's column, the types that a stream's may have."""
_DEGREES = {"lat": 90.0, "lon": 180.0}


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
        _cast(batch.column(field.name), field) if field.name in names else pa.nulls(len(batch), field.type)
        for field in schema
        if field.name != VECTOR
    ]
    kept = pa.schema([field for field in schema if field.name != VECTOR])
    if columns[0].null_count:
        raise invalid(f"{ID}[{_first(columns[0].is_null())}]", "nothing", "an id")
    if spec.ids == "string" and (long := pc.greater(pc.utf8_length(columns[0]), LONGEST_ID)).true_count:
        raise invalid(f"{ID}[{_first(long)}]", "a longer text", f"at most {LONGEST_ID} characters")
    rows = pa.record_batch(columns, schema=kept)
    for one in spec.fields:
        for bad, part, found, expected in _wrong(rows.column(one.name), one):
            if bad.true_count:
                raise invalid(f"{one.name}[{_first(bad)}]{part}", found, expected)
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
        raise invalid(_at(_first(column.is_null())), "nothing", expected)
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


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    """Without loss. What says no zone of time is UTC."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_null(column.type) or _becomes(column.type, field.type)):
        raise invalid(field.name, f"type {str(column.type)[:64]}", f"type {field.type}")
    try:
        return column.cast(field.type)
    except (pa.ArrowException, ValueError):
        return pa.concat_arrays([_cast_row(column.slice(row, 1), field, row) for row in range(len(column))])


def _becomes(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of the one type are taken for such of the other: nothing becomes text that is no name."""
    if pa.types.is_list(wanted):
        lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
        return any(is_one(kind) for is_one in lists) and _becomes(_plain(kind.value_type), wanted.value_type)
    return any(is_one(kind) for is_one in _TAKEN[wanted.id])


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _cast_row(one: pa.Array, field: pa.Field, row: int) -> pa.Array:
    try:
        return one.cast(field.type)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise invalid(f"{field.name}[{row}]", f"type {one.type} ({reason})", f"type {field.type}") from None


def _wrong(column: pa.Array, field: MetadataField) -> Iterator[tuple[pa.Array, str, str, str]]:
    """What no row may have: which rows have it, the part of the value, what was found and what is expected."""
    values = column.flatten() if field.many else column

    def having(bad: pa.Array) -> pa.Array:
        if not field.many:
            return bad
        lengths = pc.list_value_length(column).fill_null(0).to_numpy()
        counts = np.bincount(np.repeat(np.arange(len(column)), lengths), bad.cast(pa.int8()), len(column))
        return pa.array(counts > 0)

    if field.many:
        long = pc.greater(pc.list_value_length(column), MOST_VALUES).fill_null(False)
        yield long, "", "a longer list", f"at most {MOST_VALUES} values"
        yield having(values.is_null()), "", "null in a list", "values only"
    if field.type == "float":
        yield having(pc.invert(pc.is_finite(values)).fill_null(False)), "", "no finite number", "one"
    if field.type == "datetime":
        moments = values.cast(pa.int64())
        outside = pc.or_(pc.less(moments, EARLIEST), pc.greater(moments, LATEST)).fill_null(False)
        yield having(outside), "", "no instant of the years 1 to 9999", EXPECTED["datetime"]
    if field.type == "geo":
        for name, most in _DEGREES.items():
            inside = pc.less_equal(pc.abs(pc.struct_field(values, name)), most).fill_null(False)
            yield pc.and_(values.is_valid(), pc.invert(inside)), f".{name}", "no such degrees", f"-{most:g} to {most:g}"


def _first(mask: pa.Array) -> int:
    return int(np.argmax(mask.fill_null(False).to_numpy(zero_copy_only=False)))


def _at(row: int) -> str:
    return f"{VECTOR}[{row}]"

"""One column of an Arrow stream that a client sent: made into the collection's, or refused with the row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from control.specs.collection import MetadataField
from control.specs.metadata_value import EARLIEST, EXPECTED, LATEST
from serve_apps.vectors.limits import MOST_VALUES
from serve_apps.vectors.refusals import invalid

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


def cast(column: pa.Array, field: pa.Field) -> pa.Array:
    """In the type of the collection's column, without loss. What says no zone of time is UTC. Raises ApiError 400."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _becomes(column.type, field.type):
        raise invalid(field.name, f"type {str(column.type)[:64]}", f"type {field.type}")
    try:
        return column.cast(field.type)
    except (pa.ArrowException, ValueError):
        return pa.concat_arrays([_cast_row(column.slice(row, 1), field, row) for row in range(len(column))])


def _becomes(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of the one type are taken for such of the other: nothing becomes text that is no name."""
    if pa.types.is_null(kind):
        return True
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


def check(column: pa.Array, field: MetadataField) -> None:
    """Raises ApiError 400 for what no row may have: numbers that are not finite, nulls in lists, no place on Earth."""
    for bad, part, found, expected in _wrong(column, field):
        if bad.true_count:
            raise invalid(f"{field.name}[{first(bad)}]{part}", found, expected)


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


def first(mask: pa.Array) -> int:
    """The first row where it is true."""
    return int(np.argmax(mask.fill_null(False).to_numpy(zero_copy_only=False)))

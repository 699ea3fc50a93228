"""Points of JSON made into the rows that shards take, or refused as a whole with the row and the field. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.rows import ID, VECTOR, Floats, row_schema, vector_column
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.metadata_value import EXPECTED, typed
from control.specs.problem import nearest, one_of, show
from serve_apps.vectors.bodies import Change, Id, Metadata, Point
from serve_apps.vectors.limits import LONGEST_ID, MOST_VALUES
from serve_apps.vectors.refusals import invalid

LONGEST = 1e18
"""Length of a vector: squares of what is longer do not fit into the numbers that distances are measured in."""
_PLAIN: dict[str, frozenset[type]] = {
    "keyword": frozenset({str}),
    "text": frozenset({str}),
    "boolean": frozenset({bool}),
}
"""Python types of values that need no further look."""
_TEXT = "text"
_POINT = "a mapping of lat (-90 to 90) and lon (-180 to 180)"
_DEGREES = {"lat": 90.0, "lon": 180.0}


@dataclass(frozen=True)
class Batch:
    """`rows` have no id twice; of the ids in `duplicates` only the last row is there."""

    rows: pa.RecordBatch
    duplicates: list[Id]


def batch_of(points: Sequence[Point], vectors: Floats, spec: CollectionSpec) -> Batch:
    """Whole rows. `vectors` (n, dimension) are those of the points, as `measured` gives them. Raises ApiError 400."""
    ids = ids_of([point.id for point in points], spec, lambda row: f"points[{row}].id")
    columns = _columns([point.metadata for point in points], spec, spec.fields)
    batch = pa.record_batch([ids, vector_column(vectors), *columns], schema=row_schema(spec))
    return unique(batch)


def changes_of(points: Sequence[Change], spec: CollectionSpec, vectors: Mapping[int, Floats]) -> list[Batch]:
    """Id and the columns that change: a batch for each set of them. `vectors` are new ones, by the point's number.

    Raises ApiError 400.
    """
    check_names([point.metadata for point in points], spec)
    groups: dict[frozenset[str], list[int]] = {}
    for row, point in enumerate(points):
        if not point.metadata:
            raise invalid(f"points[{row}].metadata", "nothing", "a field that changes")
        names = frozenset(point.metadata) | ({VECTOR} if row in vectors else frozenset())
        groups.setdefault(names, []).append(row)
    ids = ids_of([point.id for point in points], spec, lambda row: f"points[{row}].id")
    schema = row_schema(spec)
    if len(groups) > 1 and len(set(ids.to_pylist())) < len(ids):
        raise invalid("points", "an id twice with different fields", "each id once")
    found = []
    for names, rows in groups.items():
        fields = [field for field in spec.fields if field.name in names]
        columns = _columns([points[row].metadata for row in rows], spec, fields, rows)
        kept = [schema.field(field.name) for field in fields]
        if VECTOR in names:
            columns.append(vector_column(np.stack([vectors[row] for row in rows])))
            kept.append(schema.field(VECTOR))
        columns.insert(0, ids.take(pa.array(rows)))
        found.append(unique(pa.record_batch(columns, schema=pa.schema([schema.field(ID), *kept]))))
    return found


def measured(lists: Sequence[Sequence[float]], spec: CollectionSpec, at: Callable[[int], str]) -> Floats:
    """Vectors (n, dimension), checked, and of metric cosine of length 1. `at` names the place of one. Raises
    ApiError 400.
    """
    for row, one in enumerate(lists):
        if len(one) != spec.dimension:
            raise invalid(at(row), f"{len(one)} numbers", f"{spec.dimension}: the collection's dimension")
    with np.errstate(over="ignore"):
        vectors = np.array(lists, np.float32).reshape(len(lists), spec.dimension)
    return checked(vectors, spec, at)


def checked(vectors: Floats, spec: CollectionSpec, at: Callable[[int], str]) -> Floats:
    """As `measured`, of vectors that have the right dimension."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        place = int(np.argmin(np.isfinite(vectors[row])))
        raise invalid(f"{at(row)}[{place}]", "no finite number of 32 bits", "one")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if spec.metric != "cosine":
        if len(lengths) and lengths.max() > LONGEST:
            raise invalid(at(int(lengths.argmax())), f"a vector of length {lengths.max():.3g}", f"at most {LONGEST:g}")
        return vectors
    if not lengths.all():
        raise invalid(at(int(lengths.argmin())), "a vector of zeros", "a direction: the metric is cosine")
    normalised: Floats = (vectors / lengths[:, None]).astype(np.float32)
    return normalised


def ids_of(ids: Sequence[Id], spec: CollectionSpec, at: Callable[[int], str]) -> pa.Array:
    """Raises ApiError 400 where one is not of the collection's type."""
    wanted: type = int if spec.ids == "integer" else str
    for row, one in enumerate(ids):
        if type(one) is not wanted:
            expected = "a whole number" if wanted is int else "text"
            raise invalid(at(row), show(one), f"{expected}: the collection's ids are of type {spec.ids}")
        if isinstance(one, str) and len(one) > LONGEST_ID:
            raise invalid(at(row), f"{len(one)} characters", f"at most {LONGEST_ID}")
    return pa.array(ids, row_schema(spec).field(ID).type)


def unique(rows: pa.RecordBatch) -> Batch:
    """The last row of each id, in the order in which they came."""
    ids = rows.column(ID).to_pylist()
    last = {one: row for row, one in enumerate(ids)}
    if len(last) == len(ids):
        return Batch(rows, [])
    kept = np.fromiter(sorted(last.values()), np.int64)
    again = dict.fromkeys(one for row, one in enumerate(ids) if last[one] != row)
    return Batch(rows.take(pa.array(kept)), list(again))


def check_names(told: Sequence[Metadata], spec: CollectionSpec) -> None:
    """Raises ApiError 400 where one of the points has a field that the collection has not."""
    known = {field.name for field in spec.fields}
    for row, one in enumerate(told):
        if not one.keys() <= known:
            name = next(name for name in one if name not in known)
            choices = [field.name for field in spec.fields]
            found, expected = f"no field {show(name)}", one_of(choices, "no metadata: the collection has no fields")
            raise invalid(f"points[{row}].metadata.{name[:64]}", found, expected, nearest(name[:64], choices))


def _columns(
    told: Sequence[Metadata],
    spec: CollectionSpec,
    fields: Sequence[MetadataField],
    rows: Sequence[int] | None = None,
) -> list[pa.Array]:
    """Those of `fields`. `rows` are the numbers of the points, where they are not 0, 1, 2 and so on."""
    check_names(told, spec)
    schema = row_schema(spec)
    return [
        _column([one.get(field.name) for one in told], field, schema.field(field.name).type, rows) for field in fields
    ]


def _column(values: list[Any], field: MetadataField, kind: pa.DataType, rows: Sequence[int] | None) -> pa.Array:
    def at(row: int) -> str:
        return f"points[{row if rows is None else rows[row]}].metadata.{field.name}"

    if field.many:
        values = [None if many is None else _several(many, field, at(row)) for row, many in enumerate(values)]
    elif not set(map(type, values)) <= {type(None)} | _PLAIN.get(field.type, frozenset()):
        values = [None if one is None else _value(one, field, at(row)) for row, one in enumerate(values)]
    return pa.array(values, kind)


def _several(values: Any, field: MetadataField, path: str) -> list[Any]:
    if not isinstance(values, list):
        raise invalid(path, show(values), f"a list: {field.name} has many values")
    if len(values) > MOST_VALUES:
        raise invalid(path, f"{len(values)} values", f"at most {MOST_VALUES}")
    return [_value(one, field, f"{path}[{place}]") for place, one in enumerate(values)]


def _value(written: Any, field: MetadataField, path: str) -> Any:
    """As Arrow takes it."""
    if field.type == "geo":
        return _point(written, path)
    value = written if field.type == _TEXT and isinstance(written, str) else typed(field.type, written)
    if value is None:
        expected = EXPECTED.get(field.type, "text")
        raise invalid(path, show(written), f"{expected}: {field.name} is of type {field.type}")
    return value


def _point(written: Any, path: str) -> Mapping[str, float]:
    if not isinstance(written, dict) or written.keys() != _DEGREES.keys():
        raise invalid(path, show(written), _POINT)
    degrees = {name: typed("float", written[name]) for name in _DEGREES}
    for name, most in _DEGREES.items():
        value = degrees[name]
        if not isinstance(value, float) or abs(value) > most:
            raise invalid(f"{path}.{name}", show(written[name]), _POINT)
    return degrees  # type: ignore[return-value]

"""Rows of a collection, as Arrow record batches: the one form in which they cross a process, a log and a segment.

Columns: `id`, `vector` (a fixed-size list of float32; of metric cosine already of length 1), then one column for each
field of the collection's schema, null where a row lacks it. Fields come and never go: rows from before one lack it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from control.specs.collection import CollectionSpec, FieldType, MetadataField

ID, VECTOR = "id", "vector"
Floats = NDArray[np.float32]

ARROW_TYPES: dict[FieldType, pa.DataType] = {
    "keyword": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "geo": pa.struct([("lat", pa.float64()), ("lon", pa.float64())]),
    "text": pa.string(),
}


def row_schema(spec: CollectionSpec) -> pa.Schema:
    """The columns of every batch of the collection, in order."""
    ids = pa.int64() if spec.ids == "integer" else pa.string()
    vector = pa.list_(pa.float32(), spec.dimension)
    fields = [pa.field(one.name, _type_of(one)) for one in spec.fields]
    return pa.schema([pa.field(ID, ids, nullable=False), pa.field(VECTOR, vector, nullable=False), *fields])


def stored_schema(spec: CollectionSpec) -> pa.Schema:
    """The columns without the vector, which lies elsewhere."""
    schema = row_schema(spec)
    return schema.remove(schema.get_field_index(VECTOR))


class UnknownField(Exception):
    """Rows have a field that their reader has not been told of yet. It must not drop it."""


def conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """With all columns of `schema`, null where rows are from before there was such a field. Raises UnknownField."""
    names = rows.schema.names
    if names == schema.names:
        return rows
    if unknown := [name for name in names if name not in schema.names]:
        raise UnknownField(f"rows have {', '.join(unknown)}, which this replica has not been told of yet")
    columns = [rows.column(one.name) if one.name in names else pa.nulls(len(rows), one.type) for one in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _type_of(field: MetadataField) -> pa.DataType:
    one = ARROW_TYPES[field.type]
    return pa.list_(one) if field.many else one


def vectors_of(batch: pa.RecordBatch) -> Floats:
    """The vectors of n rows, (n, dimension), without a copy."""
    column = batch.column(VECTOR)
    vectors: Floats = column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), column.type.list_size)
    return vectors


def vector_column(vectors: Floats) -> pa.FixedSizeListArray:
    """(n, dimension) as an Arrow column, without a copy where it is contiguous."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])

"""A piece of a metadata column as pairs of a value and its row: what indexes are made of and scans compare.

Nulls, those within lists too, NaN and empty words are left out: no filter finds a row by them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.vectors.found import Rows
from actors.vectors.metadata.words import words_of
from control.specs.collection import MetadataField

Numbers = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.uint8]
"""Booleans as 0 and 1, instants in microseconds."""


class Values(NamedTuple):
    """m values, in Arrow what are no numbers, and their rows, (m,), ascending. A row of many values comes as often."""

    values: Numbers | pa.Array
    rows: Rows


def values_of(chunk: pa.Array, field: MetadataField) -> Values:
    if field.type == "text":
        chunk = words_of(chunk)
    if field.many or field.type == "text":
        rows = pc.list_parent_indices(chunk).to_numpy()
        values = pc.list_flatten(chunk)
    else:
        rows = np.arange(len(chunk), dtype=np.int64)
        values = chunk
    if values.null_count:
        rows = rows[values.is_valid().to_numpy(zero_copy_only=False)]
        values = values.drop_null()
    match field.type:
        case "text":
            filled = pc.not_equal(values, "")
            return Values(values.filter(filled), rows[filled.to_numpy(zero_copy_only=False)])
        case "keyword" | "geo":
            return Values(values, rows)
        case "boolean":
            return Values(values.to_numpy(zero_copy_only=False).astype(np.uint8), rows)
        case "float":
            floats = values.to_numpy()
            numbers = ~np.isnan(floats)
            return Values(floats[numbers], rows[numbers])
        case "integer" | "datetime":
            return Values(values.cast(pa.int64()).to_numpy(), rows)


def degrees_of(points: pa.StructArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of m points without nulls."""
    lat, lon = (pc.struct_field(points, name).to_numpy(zero_copy_only=False) for name in ("lat", "lon"))
    return lat, lon

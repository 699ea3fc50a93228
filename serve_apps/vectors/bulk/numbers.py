"""Ids of rows that have none: their numbers in the file, from 0. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from actors.vectors.rows import ID
from control.specs.collection import CollectionSpec


def with_ids(table: pa.Table, spec: CollectionSpec, first: int) -> pa.Table:
    """`first` is the number of the table's first row."""
    if ID in table.column_names:
        return table
    numbers = pa.array(np.arange(first, first + table.num_rows, dtype=np.int64))
    return table.add_column(0, ID, numbers if spec.ids == "integer" else numbers.cast(pa.string()))

"""What a shard asks of any set of rows that does not change: a sealed segment, or the growing one as it was once."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from actors.vectors.found import Found, Mask, Rows
from actors.vectors.query import Tuning
from actors.vectors.rows import ID, VECTOR, Floats, vector_column
from actors.vectors.segments.ids import Wanted
from control.specs.vector_filter import Filter


class Rowset(Protocol):
    """n rows, numbered from 0; which of them are alive its user knows."""

    @property
    def vectors(self) -> Floats:
        """(n, dimension), without a copy."""
        ...

    def find(self, wanted: Wanted) -> Rows:
        """The last row of each id, dead or alive, -1 where there is none."""
        ...

    def search(self, alive: Mask | None, queries: Floats, k: int, where: Filter, tuning: Tuning) -> Found:
        """The k nearest rows of each query that are alive and match; without `alive` all are."""
        ...

    def search_text(self, text: str, fields: tuple[str, ...], k: int, allowed: Mask | None) -> Found:
        """The k rows whose text fields fit the words best, of those that are allowed; without `allowed` of all."""
        ...

    def mask(self, where: Filter) -> Mask:
        """Which rows match, dead ones too."""
        ...

    def take(self, rows: Rows, columns: tuple[str, ...]) -> pa.RecordBatch:
        """These columns, `id` and `vector` among those that may be asked for, of these rows, in their order."""
        ...

    @property
    def whole_ids(self) -> Rows | None:
        """The ids of all rows as whole numbers, without a copy; None where they are strings."""
        ...

    def ascending(self) -> Rows:
        """All rows in the order of their ids."""
        ...


def whole_ids(table: pa.Table) -> Rows | None:
    """`Rowset.whole_ids` of a table in one piece; of one in several it is a copy."""
    column = table.column(ID)
    return column.to_numpy() if pa.types.is_int64(column.type) else None


def take(table: pa.Table, vectors: Floats, rows: Rows, columns: tuple[str, ...]) -> pa.RecordBatch:
    """`Rowset.take`, where `table` has all columns but `vector`."""
    at = pa.array(rows)
    arrays, fields = [], []
    for name in columns:
        if name == VECTOR:
            arrays.append(vector_column(vectors[rows]))
            fields.append(pa.field(VECTOR, arrays[-1].type, nullable=False))
        else:
            column = table.column(name)
            arrays.append(column.chunk(0).take(at) if column.num_chunks == 1 else column.take(at).combine_chunks())
            fields.append(table.schema.field(name))
    return pa.record_batch(arrays, schema=pa.schema(fields))

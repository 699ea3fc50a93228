"""A shard in memory that has rows: as much of `actors.vectors.shard.Shard` as moves and their tests ask for."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pyarrow as pa

from actors.vectors.changes import from_bytes
from actors.vectors.entry import Entry, Kind
from actors.vectors.rows import ID, row_schema
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Filter
from tests.fakes.vector_log import MemoryShard


class RowShard(MemoryShard):
    """`rows` by id."""

    def __init__(self, spec: CollectionSpec) -> None:
        super().__init__()
        self.spec = spec
        self.rows: dict[int, dict[str, object]] = {}

    @property
    def view(self) -> RowShard:
        return self

    def apply(self, entries: Sequence[Entry]) -> None:
        super().apply(entries)
        for entry in entries:
            for row in from_bytes(entry.body).to_pylist() if entry.body else ():
                if entry.kind is Kind.UPSERT:
                    self.rows[row[ID]] = row
                else:
                    self.rows.pop(row[ID], None)

    def scroll(self, where: Filter, after: int | None, limit: int, columns: tuple[str, ...]) -> pa.RecordBatch:
        return self._batch([one for one in sorted(self.rows) if after is None or one > after][:limit], columns)

    def fetch(self, ids: pa.Array, columns: tuple[str, ...]) -> pa.RecordBatch:
        return self._batch([one for one in ids.to_pylist() if one in self.rows], columns)

    def count(self, where: Filter) -> int:
        return len(self.rows)

    def figures(self) -> SimpleNamespace:
        return SimpleNamespace(outdated=0)

    def _batch(self, ids: Sequence[int], columns: tuple[str, ...]) -> pa.RecordBatch:
        schema = row_schema(self.spec)
        named = pa.schema([schema.field(name) for name in (ID, *columns)])
        return pa.RecordBatch.from_pylist([self.rows[one] for one in ids], named)

"""The shards of collections as a dictionary: what the vectors API needs of them, exactly and slowly."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.answers import Found, Receipt
from actors.vectors.collection_table import CollectionTable
from actors.vectors.query import Hits, Level, Query, TextQuery
from actors.vectors.rows import ID, VECTOR, row_schema
from actors.vectors.tables import read_table
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.vector_filter import Filter
from serve_apps.vectors.shards import Tokens
from tests.props.test_vector_filters import matches, split

Row = dict[str, Any]
RowId = int | str


class FakeShards:
    """Of `specs`. `rows` are by collection and id; `failure` is raised by every call, `held` keeps all of them waiting,
    `missing` are shards that do not answer searches.
    """

    def __init__(self, **specs: CollectionSpec) -> None:
        self.specs = specs
        self.rows: defaultdict[str, dict[RowId, Row]] = defaultdict(dict)
        self.seq = 0
        self.asked: list[Any] = []
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self.cancelled = 0
        self.missing: dict[int, str] = {}
        table = {
            name: {
                "life": "life",
                "spec": spec.model_dump(mode="json"),
                "shards": [{"shard": one, "epoch": 1, "leader": "", "members": ()} for one in range(spec.shards)],
            }
            for name, spec in specs.items()
        }
        self.table = CollectionTable(lambda: table)
        self.table.rows = read_table(table)

    async def upsert(
        self, name: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        await self._called(acknowledge)
        assert rows.schema == row_schema(self.specs[name])
        rows.validate(full=True)
        for row in rows.to_pylist():
            self.rows[name][row[ID]] = row
        return self._written(len(rows))

    async def update(
        self, name: str, changes: Sequence[pa.RecordBatch], acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        await self._called(acknowledge)
        found = [one for change in changes for one in change.to_pylist() if one[ID] in self.rows[name]]
        for one in found:
            self.rows[name][one[ID]] |= one
        return self._written(len(found))

    async def delete(self, name: str, ids: pa.Array, acknowledge: Acknowledgement | None, seconds: float) -> Receipt:
        await self._called(acknowledge)
        for one in ids.to_pylist():
            self.rows[name].pop(one, None)
        return self._written(len(ids))

    async def delete_where(
        self, name: str, where: Filter, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        await self._called(acknowledge)
        kept = {one: row for one, row in self.rows[name].items() if not matches(row, where)}
        gone = len(self.rows[name]) - len(kept)
        self.rows[name] = kept
        return self._written(gone)

    async def search(self, name: str, query: Query, tokens: Tokens, offset: int, seconds: float) -> Found:
        await self.table.collection(name, tokens)
        await self._called(query, tokens)
        spec, found = self.specs[name], []
        for vector in query.vectors:
            scored = [(self._score(spec, vector, row), row) for row in self._matching(name, query.where)]
            scored = [one for one in scored if query.threshold is None or one[0] >= query.threshold]
            found.append(sorted(scored, key=lambda one: -one[0])[: query.k])
        return Found(self._hits(spec, found, query.columns), self.missing, {0: self.seq})

    async def search_text(self, name: str, query: TextQuery, tokens: Tokens, seconds: float) -> Found:
        """A row's score is how many of the words it has."""
        await self.table.collection(name, tokens)
        await self._called(query, tokens)
        wanted, scored = split(query.text), []
        for row in self._matching(name, query.where):
            has = set().union(*(split(row[name] or "") for name in query.fields))
            if wanted & has:
                scored.append((float(len(wanted & has)), row))
        found = [sorted(scored, key=lambda one: -one[0])[: query.k]]
        return Found(self._hits(self.specs[name], found, query.columns), self.missing, {0: self.seq})

    async def fetch(
        self, name: str, ids: pa.Array, columns: tuple[str, ...], level: Level, tokens: Tokens, seconds: float
    ) -> pa.RecordBatch:
        await self.table.collection(name, tokens)
        await self._called(level, tokens)
        rows = self.rows[name]
        return self._batch(self.specs[name], [rows[one] for one in ids.to_pylist() if one in rows], columns)

    async def scroll(
        self,
        name: str,
        where: Filter,
        after: RowId | None,
        limit: int,
        columns: tuple[str, ...],
        level: Level,
        tokens: Tokens,
        seconds: float,
    ) -> pa.RecordBatch:
        await self.table.collection(name, tokens)
        await self._called(level, tokens)
        rows = sorted(self._matching(name, where), key=lambda row: row[ID])
        page = [row for row in rows if after is None or row[ID] > after][:limit]
        return self._batch(self.specs[name], page, columns)

    async def count(self, name: str, where: Filter, level: Level, tokens: Tokens, seconds: float) -> int:
        await self.table.collection(name, tokens)
        await self._called(level, tokens)
        return len(self._matching(name, where))

    async def _called(self, *asked: Any) -> None:
        self.asked += asked
        try:
            if self.held is not None:
                await self.held.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure

    def _written(self, rows: int) -> Receipt:
        self.seq += 1
        return Receipt({0: self.seq}, rows)

    def _matching(self, name: str, where: Filter) -> list[Row]:
        return [row for row in self.rows[name].values() if matches(row, where)]

    def _score(self, spec: CollectionSpec, query: Any, row: Row) -> float:
        vector = np.array(row[VECTOR], np.float32)
        return float(-np.sum((query - vector) ** 2) if spec.metric == "l2" else query @ vector)

    def _hits(self, spec: CollectionSpec, found: list[list[tuple[float, Row]]], columns: tuple[str, ...]) -> Hits:
        rows = [row for one in found for _, row in one]
        batch = self._batch(spec, rows, columns)
        scores = np.array([score for one in found for score, _ in one], np.float32)
        counts = np.array([len(one) for one in found], np.int32)
        return Hits(counts, batch.column(ID), scores, batch.select(list(columns)) if columns else None, self.seq)

    def _batch(self, spec: CollectionSpec, rows: list[Row], columns: tuple[str, ...]) -> pa.RecordBatch:
        schema = row_schema(spec)
        return pa.RecordBatch.from_pylist(rows, pa.schema([schema.field(name) for name in (ID, *columns)]))

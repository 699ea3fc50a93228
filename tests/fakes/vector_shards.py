"""The shards of collections as a dictionary: what the vectors API needs of them, exactly and slowly."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.query import Hits, Query, TextQuery
from actors.vectors.rows import ID, VECTOR, row_schema
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.vector_filter import Filter
from serve_apps.vectors.shards import Answer, Seqs
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

    def collections(self) -> Mapping[str, CollectionSpec]:
        return self.specs

    async def upsert(
        self, collection: str, batch: pa.RecordBatch, ack: Acknowledgement | None, deadline: float
    ) -> Seqs:
        await self._called(ack)
        assert batch.schema == row_schema(self.specs[collection])
        batch.validate(full=True)
        for row in batch.to_pylist():
            self.rows[collection][row[ID]] = row
        return self._written()

    async def update(
        self, collection: str, changes: pa.RecordBatch, ack: Acknowledgement | None, deadline: float
    ) -> Seqs:
        await self._called(ack)
        for change in changes.to_pylist():
            if change[ID] in self.rows[collection]:
                self.rows[collection][change[ID]] |= change
        return self._written()

    async def delete(self, collection: str, ids: pa.Array, ack: Acknowledgement | None, deadline: float) -> Seqs:
        await self._called(ack)
        for one in ids.to_pylist():
            self.rows[collection].pop(one, None)
        return self._written()

    async def delete_where(self, collection: str, where: Filter, ack: Acknowledgement | None, deadline: float) -> Seqs:
        await self._called(ack)
        kept = {one: row for one, row in self.rows[collection].items() if not matches(row, where)}
        self.rows[collection] = kept
        return self._written()

    async def search(self, collection: str, query: Query, tokens: Seqs, deadline: float) -> Answer:
        await self._called(query, tokens)
        spec, found = self.specs[collection], []
        for vector in query.vectors:
            scored = [(self._score(spec, vector, row), row) for row in self._matching(collection, query.where)]
            scored = [one for one in scored if query.threshold is None or one[0] >= query.threshold]
            found.append(sorted(scored, key=lambda one: -one[0])[: query.k])
        return Answer(self._hits(spec, found, query.columns), self.missing, {0: self.seq})

    async def search_text(self, collection: str, query: TextQuery, tokens: Seqs, deadline: float) -> Answer:
        """A row's score is how many of the words it has."""
        await self._called(query, tokens)
        wanted, scored = split(query.text), []
        for row in self._matching(collection, query.where):
            has = set().union(*(split(row[name] or "") for name in query.fields))
            if wanted & has:
                scored.append((float(len(wanted & has)), row))
        found = [sorted(scored, key=lambda one: -one[0])[: query.k]]
        return Answer(self._hits(self.specs[collection], found, query.columns), self.missing, {0: self.seq})

    async def fetch(self, collection: str, ids: pa.Array, columns: tuple[str, ...], deadline: float) -> pa.RecordBatch:
        await self._called()
        rows = self.rows[collection]
        return self._batch(self.specs[collection], [rows[one] for one in ids.to_pylist() if one in rows], columns)

    async def scroll(
        self,
        collection: str,
        where: Filter,
        after: RowId | None,
        limit: int,
        columns: tuple[str, ...],
        deadline: float,
    ) -> pa.RecordBatch:
        await self._called()
        rows = sorted(self._matching(collection, where), key=lambda row: row[ID])
        page = [row for row in rows if after is None or row[ID] > after][:limit]
        return self._batch(self.specs[collection], page, columns)

    async def count(self, collection: str, where: Filter, deadline: float) -> int:
        await self._called()
        return len(self._matching(collection, where))

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

    def _written(self) -> Seqs:
        self.seq += 1
        return {0: self.seq}

    def _matching(self, collection: str, where: Filter) -> list[Row]:
        return [row for row in self.rows[collection].values() if matches(row, where)]

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

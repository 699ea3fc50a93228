"""The client of shards, as the vectors API needs it: `actors.vectors.scatter` is one, and tests have another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from actors.vectors.query import Hits, Query, TextQuery
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.vector_filter import Filter

Seqs = Mapping[int, int]
"""By shard, a sequence number of its log: what a token stands for."""


@dataclass(frozen=True)
class Answer:
    """`hits` of all shards merged, but for those in `missing`, which did not answer for the reason given; `seqs` is how
    far each shard had applied its log.
    """

    hits: Hits
    missing: Mapping[int, str] = field(default_factory=dict)
    seqs: Seqs = field(default_factory=dict)


class Shards(Protocol):
    """Deadlines are moments on the event loop's clock. A collection that is not there raises KeyError; the rest of what
    is raised is of `actors.vectors.replication.errors`, and TimeoutError.
    """

    def collections(self) -> Mapping[str, CollectionSpec]: ...

    async def upsert(
        self, collection: str, batch: pa.RecordBatch, ack: Acknowledgement | None, deadline: float
    ) -> Seqs: ...

    async def update(
        self, collection: str, changes: pa.RecordBatch, ack: Acknowledgement | None, deadline: float
    ) -> Seqs: ...

    async def delete(self, collection: str, ids: pa.Array, ack: Acknowledgement | None, deadline: float) -> Seqs: ...

    async def delete_where(
        self, collection: str, where: Filter, ack: Acknowledgement | None, deadline: float
    ) -> Seqs: ...

    async def search(self, collection: str, query: Query, tokens: Seqs, deadline: float) -> Answer: ...

    async def search_text(self, collection: str, query: TextQuery, tokens: Seqs, deadline: float) -> Answer: ...

    async def fetch(
        self, collection: str, ids: pa.Array, columns: tuple[str, ...], deadline: float
    ) -> pa.RecordBatch: ...

    async def scroll(
        self,
        collection: str,
        where: Filter,
        after: int | str | None,
        limit: int,
        columns: tuple[str, ...],
        deadline: float,
    ) -> pa.RecordBatch: ...

    async def count(self, collection: str, where: Filter, deadline: float) -> int: ...

"""The client of shards, as the vectors API needs it: `actors.vectors.scatter.Shards` is one, and tests have another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from actors.vectors.answers import Found, Receipt
from actors.vectors.collection_table import CollectionTable
from actors.vectors.query import Level, Query, TextQuery
from control.specs.collection import Acknowledgement
from control.specs.vector_filter import Filter

Tokens = Mapping[int, int]
"""By shard, a sequence number of its log."""


class Shards(Protocol):
    """What is raised is of `actors.vectors.answers`."""

    @property
    def table(self) -> CollectionTable: ...

    async def upsert(
        self, name: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt: ...

    async def update(
        self, name: str, changes: Sequence[pa.RecordBatch], acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt: ...

    async def delete(
        self, name: str, ids: pa.Array, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt: ...

    async def delete_where(
        self, name: str, where: Filter, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt: ...

    async def search(self, name: str, query: Query, tokens: Tokens, offset: int, seconds: float) -> Found: ...

    async def search_text(self, name: str, query: TextQuery, tokens: Tokens, seconds: float) -> Found: ...

    async def fetch(
        self, name: str, ids: pa.Array, columns: tuple[str, ...], level: Level, tokens: Tokens, seconds: float
    ) -> pa.RecordBatch: ...

    async def scroll(
        self,
        name: str,
        where: Filter,
        after: int | str | None,
        limit: int,
        columns: tuple[str, ...],
        level: Level,
        tokens: Tokens,
        seconds: float,
    ) -> pa.RecordBatch: ...

    async def count(self, name: str, where: Filter, level: Level, tokens: Tokens, seconds: float) -> int: ...


def left(deadline: float) -> float:
    """Seconds until a moment on the event loop's clock. Raises TimeoutError where it is over."""
    seconds = deadline - asyncio.get_running_loop().time()
    if seconds <= 0:
        raise TimeoutError
    return seconds

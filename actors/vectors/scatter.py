"""The client of the shards: ids go to the shard that has them, questions to all, answers come back as one.

Works wherever an event loop runs: in a driver, a Serve replica, an actor. It holds the table of collections, and
nothing that must last. It never decides who leads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.answers import Failed, Found, Receipt, Unanswered
from actors.vectors.changes import from_bytes, of_ids, to_bytes
from actors.vectors.collection_table import CollectionTable
from actors.vectors.merging import first_by_id, in_order, merge_hits
from actors.vectors.query import Level, Query, TextQuery
from actors.vectors.replication.errors import NoQuorum, Refused, Unknown
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID
from actors.vectors.shard_calls import Call, ShardCalls
from actors.vectors.snapshot import ShardCopy
from actors.vectors.together import Asked, Together
from actors.vectors.wire import query_bytes, read_hits, text_query_bytes
from control.specs.collection import Acknowledgement
from control.specs.vector_filter import Filter


class Shards:
    """`door` reads the table, in a thread, and may fail: then the last one holds."""

    def __init__(self, door: Callable[[], Mapping[str, Any] | None], call: Call) -> None:
        self.table = CollectionTable(door)
        self._call = call
        self._calls = ShardCalls(self.table, call)
        self._together = Together(self._search)

    # Writes

    async def upsert(
        self, name: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Whole rows, checked. Raises Failed."""
        return await self._by_id(name, "upsert", rows, acknowledge, seconds)

    async def update(
        self, name: str, changes: Sequence[pa.RecordBatch], acknowledge: Acknowledgement | None = None,
        seconds: float = 30.0,
    ) -> Receipt:  # fmt: skip
        """Each `id` and the columns to be put into the rows that are there; each id once in all. Raises Failed."""
        row = await self.table.collection(name)
        words: defaultdict[int, list[bytes]] = defaultdict(list)
        for change in changes:
            for shard, part in _by_shard(change, len(row.shards)).items():
                words[shard].append(to_bytes(part))
        return await self._write(name, "update", words, acknowledge or row.spec.acknowledge, seconds)

    async def delete(
        self, name: str, ids: pa.Array, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        return await self._by_id(name, "delete", of_ids(ids), acknowledge, seconds)

    async def delete_where(
        self, name: str, where: Filter, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        row = await self.table.collection(name)
        words = dict.fromkeys(range(len(row.shards)), where)
        return await self._write(name, "delete_where", words, acknowledge or row.spec.acknowledge, seconds)

    # Reads; `tokens` are those of receipts

    async def search(
        self, name: str, query: Query, tokens: Mapping[int, int] | None = None, offset: int = 0, seconds: float = 10.0
    ) -> Found:
        """The k nearest behind the first `offset`, over all shards. Raises Unanswered where none answered."""
        return await self._together.search(Asked(name, query, tokens or {}, offset, seconds))

    async def search_text(
        self, name: str, query: TextQuery, tokens: Mapping[int, int] | None = None, seconds: float = 10.0
    ) -> Found:
        """The k that fit the words best, over all shards. Raises Unanswered where none answered."""
        row = await self.table.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return (text_query_bytes(replace(query, token=(tokens or {}).get(shard, 0))),)

        parts, missing = await self._ask(name, range(len(row.shards)), "search_text", words, query.level, seconds)
        return _merged(parts, missing, query.k, 0)

    async def fetch(
        self, name: str, ids: pa.Array, columns: tuple[str, ...] = (), level: Level = Level.LOG,
        tokens: Mapping[int, int] | None = None, seconds: float = 10.0,
    ) -> pa.RecordBatch:  # fmt: skip
        """`id` and the columns, in the order of `ids`, without those that there are not. Raises Unanswered."""
        row = await self.table.collection(name)
        shards = shard_of(ids, len(row.shards))
        wanted = {int(shard): ids.filter(pa.array(shards == shard)) for shard in np.unique(shards)} or {0: ids}

        def words(shard: int) -> tuple[Any, ...]:
            return to_bytes(of_ids(wanted[shard])), columns, level, (tokens or {}).get(shard, 0)

        parts = await self._ask_all(name, wanted, "fetch", words, level, seconds)
        return in_order([from_bytes(part) for part in parts], ids)

    async def scroll(
        self, name: str, where: Filter, after: int | str | None, limit: int, columns: tuple[str, ...] = (),
        level: Level = Level.LOG, tokens: Mapping[int, int] | None = None, seconds: float = 10.0,
    ) -> pa.RecordBatch:  # fmt: skip
        """The first `limit` rows that match, with greater ids than `after`, in their order. Raises Unanswered."""
        row = await self.table.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return where, after, limit, columns, level, (tokens or {}).get(shard, 0)

        parts = await self._ask_all(name, range(len(row.shards)), "scroll", words, level, seconds)
        return first_by_id([from_bytes(part) for part in parts], limit)

    async def count(
        self, name: str, where: Filter, level: Level = Level.LOG, tokens: Mapping[int, int] | None = None,
        seconds: float = 10.0,
    ) -> int:  # fmt: skip
        """Raises Unanswered."""
        row = await self.table.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return where, level, (tokens or {}).get(shard, 0)

        return sum(await self._ask_all(name, range(len(row.shards)), "count", words, level, seconds))

    # For those who run the plane

    async def snapshot(self, name: str, url: str, seconds: float) -> list[ShardCopy]:
        """Each shard as its leader has it now, copied to its place at `url`. Raises Unanswered, SnapshotError."""
        row = await self.table.collection(name)
        return await self._ask_all(name, range(len(row.shards)), "snapshot", lambda _: (url,), Level.QUORUM, seconds)

    async def optimise(self, name: str, seconds: float = 10.0) -> dict[str, str]:
        """Every replica begins to make one segment of all its rows; by actor, why one of them does not."""
        row = await self.table.collection(name)
        actors = [actor for shard in row.shards for actor in shard.members]
        asks = (asyncio.wait_for(self._call(actor, "optimise"), seconds) for actor in actors)
        answers = zip(actors, await asyncio.gather(*asks, return_exceptions=True), strict=True)
        return {actor: str(one) or type(one).__name__ for actor, one in answers if isinstance(one, BaseException)}

    # How

    async def _search(self, asked: Asked) -> Found:
        row, query = await self.table.collection(asked.name), asked.query
        behind = replace(query, k=query.k + asked.offset)

        def words(shard: int) -> tuple[Any, ...]:
            return (query_bytes(replace(behind, token=asked.tokens.get(shard, 0))),)

        shards = range(len(row.shards))
        parts, missing = await self._ask(asked.name, shards, "search", words, query.level, asked.seconds)
        return _merged(parts, missing, query.k, asked.offset)

    async def _by_id(
        self, name: str, method: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        row = await self.table.collection(name)
        words = {shard: to_bytes(part) for shard, part in _by_shard(rows, len(row.shards)).items()}
        return await self._write(name, method, words, acknowledge or row.spec.acknowledge, seconds)

    async def _write(
        self, name: str, method: str, words: Mapping[int, Any], acknowledge: Acknowledgement, seconds: float
    ) -> Receipt:
        until = asyncio.get_running_loop().time() + seconds
        writes = [self._calls.write(name, shard, method, word, acknowledge, until) for shard, word in words.items()]
        answers = dict(zip(words, await asyncio.gather(*writes, return_exceptions=True), strict=True))
        written = {shard: one for shard, one in answers.items() if isinstance(one, tuple)}
        wrong = {shard: one for shard, one in answers.items() if isinstance(one, BaseException)}
        if not wrong:
            return Receipt({shard: token for shard, (token, _) in written.items()}, sum(n for _, n in written.values()))
        for error in wrong.values():
            if not isinstance(error, (Unknown, NoQuorum, Refused)):
                raise error
        unknown = {shard: str(error) for shard, error in wrong.items() if isinstance(error, Unknown)}
        refused = {shard: str(error) for shard, error in wrong.items() if shard not in unknown}
        raise Failed({shard: token for shard, (token, _) in written.items()}, unknown, refused)

    async def _ask_all(
        self, name: str, shards: Any, method: str, words: Callable[[int], tuple[Any, ...]], level: Level, seconds: float
    ) -> list[Any]:
        parts, missing = await self._ask(name, shards, method, words, level, seconds)
        if missing:
            raise Unanswered(missing)
        return list(parts.values())

    async def _ask(
        self, name: str, shards: Any, method: str, words: Callable[[int], tuple[Any, ...]], level: Level, seconds: float
    ) -> tuple[dict[int, Any], dict[int, str]]:
        """The answers by shard, and why there is none of the others."""
        until = asyncio.get_running_loop().time() + seconds
        numbers = list(shards)
        if len(numbers) == 1:
            answers = [await self._calls.ask(name, numbers[0], method, words(numbers[0]), level, until)]
        else:
            asks = [self._calls.ask(name, shard, method, words(shard), level, until) for shard in numbers]
            answers = await asyncio.gather(*asks)
        told = {shard: answer for shard, (answer, why) in zip(numbers, answers, strict=True) if not why}
        return told, {shard: why for shard, (_, why) in zip(numbers, answers, strict=True) if why}


def _by_shard(rows: pa.RecordBatch, shards: int) -> dict[int, pa.RecordBatch]:
    """The rows of each shard that has some of them."""
    owners = shard_of(rows.column(ID), shards)
    numbers = [int(one) for one in np.unique(owners)]
    return {one: rows if len(numbers) == 1 else rows.filter(pa.array(owners == one)) for one in numbers}


def _merged(parts: Mapping[int, bytes], missing: Mapping[int, str], k: int, offset: int) -> Found:
    if not parts:
        raise Unanswered(missing)
    hits = {shard: read_hits(part) for shard, part in parts.items()}
    tokens = {shard: one.seq for shard, one in hits.items()}
    return Found(merge_hits(list(hits.values()), k, offset), missing, tokens)

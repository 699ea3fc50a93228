"""The client of the shards: ids go to the shard that has them, questions to all, answers come back as one.

Works wherever an event loop runs: in a driver, a Serve replica, an actor. It holds the table of collections, and
nothing that must last. It never decides who leads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.answers import Failed, Found, Receipt, Unanswered
from actors.vectors.changes import from_bytes, of_ids, to_bytes
from actors.vectors.collection_table import CollectionTable
from actors.vectors.merging import first_by_id, in_order, merge_hits
from actors.vectors.query import Level, Query, TextQuery
from actors.vectors.replication.errors import Moved, NoQuorum, Refused, Unknown
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID
from actors.vectors.shard_calls import Call, ShardCalls
from actors.vectors.snapshot import ShardCopy
from actors.vectors.tables import CollectionRow
from actors.vectors.together import Asked, Together
from actors.vectors.wire import query_bytes, read_hits, text_query_bytes
from control.specs.collection import Acknowledgement
from control.specs.vector_filter import Filter

Tokens = Mapping[int, int]


class Shards:
    """`door` reads the table, in a thread, and may fail: then the last one holds.

    Where other shards serve by the time that some are asked, what these have not acknowledged goes to the others.
    """

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
        return await self._batches(
            name, "update", changes, lambda some: [to_bytes(one) for one in some], acknowledge, seconds
        )

    async def delete(
        self, name: str, ids: pa.Array, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        return await self._by_id(name, "delete", of_ids(ids), acknowledge, seconds)

    async def delete_where(
        self, name: str, where: Filter, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        return await self._write(
            name, "delete_where", lambda row, _: dict.fromkeys(row.numbers, where), acknowledge, seconds
        )

    # Reads; `tokens` are those of receipts. Of a shard that there never was they raise UnknownToken

    async def search(
        self, name: str, query: Query, tokens: Tokens | None = None, offset: int = 0, seconds: float = 10.0
    ) -> Found:
        """The k nearest behind the first `offset`, over all shards. Raises Unanswered where none answered."""
        await self.table.collection(name, tokens or ())  # who brings a wrong token is refused alone
        return await self._together.search(Asked(name, query, tokens or {}, offset, seconds))

    async def search_text(
        self, name: str, query: TextQuery, tokens: Tokens | None = None, seconds: float = 10.0
    ) -> Found:
        """The k that fit the words best, over all shards. Raises Unanswered where none answered."""

        def words(row: CollectionRow, shard: int) -> tuple[Any, ...]:
            return (text_query_bytes(replace(query, token=row.least(shard, tokens or {}))),)

        parts, missing = await self._ask(name, tokens, "search_text", words, query.level, seconds)
        return _merged(parts, missing, query.k, 0)

    async def fetch(
        self, name: str, ids: pa.Array, columns: tuple[str, ...] = (), level: Level = Level.LOG,
        tokens: Tokens | None = None, seconds: float = 10.0,
    ) -> pa.RecordBatch:  # fmt: skip
        """`id` and the columns, in the order of `ids`, without those that there are not. Raises Unanswered."""

        def words(row: CollectionRow, shard: int) -> tuple[Any, ...]:
            mine = ids.filter(pa.array(row.first + shard_of(ids, len(row.shards)) == shard))
            return to_bytes(of_ids(mine)), columns, level, row.least(shard, tokens or {})

        def concerned(row: CollectionRow) -> Iterable[int]:
            return [row.first + int(part) for part in np.unique(shard_of(ids, len(row.shards)))] or [row.first]

        parts = await self._ask_all(name, tokens, "fetch", words, level, seconds, concerned)
        return in_order([from_bytes(part) for part in parts], ids)

    async def scroll(
        self, name: str, where: Filter, after: int | str | None, limit: int, columns: tuple[str, ...] = (),
        level: Level = Level.LOG, tokens: Tokens | None = None, seconds: float = 10.0,
    ) -> pa.RecordBatch:  # fmt: skip
        """The first `limit` rows that match, with greater ids than `after`, in their order. Raises Unanswered."""

        def words(row: CollectionRow, shard: int) -> tuple[Any, ...]:
            return where, after, limit, columns, level, row.least(shard, tokens or {})

        parts = await self._ask_all(name, tokens, "scroll", words, level, seconds)
        return first_by_id([from_bytes(part) for part in parts], limit)

    async def count(
        self, name: str, where: Filter, level: Level = Level.LOG, tokens: Tokens | None = None, seconds: float = 10.0
    ) -> int:
        """Raises Unanswered."""

        def words(row: CollectionRow, shard: int) -> tuple[Any, ...]:
            return where, level, row.least(shard, tokens or {})

        return sum(await self._ask_all(name, tokens, "count", words, level, seconds))

    # For those who run the plane

    async def snapshot(self, name: str, url: str, seconds: float) -> list[ShardCopy]:
        """Each shard as its leader has it now, copied to its place at `url`. Raises Unanswered, SnapshotError."""
        return await self._ask_all(name, None, "snapshot", lambda *_: (url,), Level.QUORUM, seconds)

    async def optimise(self, name: str, seconds: float = 10.0) -> dict[str, str]:
        """Every replica begins to make one segment of all its rows; by actor, why one of them does not."""
        row = await self.table.collection(name)
        actors = [actor for shard in row.shards for actor in shard.members]
        asks = (asyncio.wait_for(self._call(actor, "optimise"), seconds) for actor in actors)
        answers = zip(actors, await asyncio.gather(*asks, return_exceptions=True), strict=True)
        return {actor: str(one) or type(one).__name__ for actor, one in answers if isinstance(one, BaseException)}

    # How

    async def _search(self, asked: Asked) -> Found:
        query = asked.query
        behind = replace(query, k=query.k + asked.offset)

        def words(row: CollectionRow, shard: int) -> tuple[Any, ...]:
            return (query_bytes(replace(behind, token=row.least(shard, asked.tokens))),)

        parts, missing = await self._ask(asked.name, asked.tokens, "search", words, query.level, asked.seconds)
        return _merged(parts, missing, query.k, asked.offset)

    async def _by_id(
        self, name: str, method: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        return await self._batches(name, method, [rows], _joined, acknowledge, seconds)

    async def _batches(
        self, name: str, method: str, batches: Sequence[pa.RecordBatch],
        word: Callable[[Sequence[pa.RecordBatch]], Any],
        acknowledge: Acknowledgement | None, seconds: float,
    ) -> Receipt:  # fmt: skip
        """Each row goes to the shard of its id; `word` is what a shard is sent for the batches that are its own."""
        parts: dict[int, list[pa.RecordBatch]] = {0: list(batches)}

        def split(row: CollectionRow, left: Iterable[int]) -> Mapping[int, Any]:
            nonlocal parts
            batches = [batch for shard in left for batch in parts[shard]]
            parts = defaultdict(list)
            for batch in batches:
                for shard, part in _by_shard(batch, row).items():
                    parts[shard].append(part)
            return {shard: word(some) for shard, some in parts.items()}

        return await self._write(name, method, split, acknowledge, seconds)

    async def _write(
        self, name: str, method: str, split: Callable[[CollectionRow, Iterable[int]], Mapping[int, Any]],
        acknowledge: Acknowledgement | None, seconds: float,
    ) -> Receipt:  # fmt: skip
        """`split` says what goes to which shard, of that which was for the shards that it is given: 0 at first."""
        until = asyncio.get_running_loop().time() + seconds
        written: dict[int, tuple[int, int]] = {}
        left, maybe = [0], False
        while left:
            row = await self.table.collection(name)
            words, level = split(row, left), acknowledge or row.spec.acknowledge
            writes = [self._calls.write(name, one, method, word, level, until, maybe) for one, word in words.items()]
            answers = dict(zip(words, await asyncio.gather(*writes, return_exceptions=True), strict=True))
            written |= {shard: one for shard, one in answers.items() if isinstance(one, tuple)}
            wrong = {shard: one for shard, one in answers.items() if isinstance(one, BaseException)}
            left = [shard for shard, one in wrong.items() if isinstance(one, Moved)]
            maybe = any(one.maybe for one in wrong.values() if isinstance(one, Moved))
            if len(left) < len(wrong):
                raise _failed(written, wrong)
        return Receipt({shard: token for shard, (token, _) in written.items()}, sum(n for _, n in written.values()))

    async def _ask_all(self, *words: Any) -> list[Any]:
        parts, missing = await self._ask(*words)
        if missing:
            raise Unanswered(missing)
        return list(parts.values())

    async def _ask(
        self, name: str, tokens: Tokens | None, method: str, words: Callable[[CollectionRow, int], tuple[Any, ...]],
        level: Level, seconds: float, concerned: Callable[[CollectionRow], Iterable[int]] = lambda row: row.numbers,
    ) -> tuple[dict[int, Any], dict[int, str]]:  # fmt: skip
        """The answers by shard, of those that are concerned, and why there is none of the others."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            row = await self.table.collection(name, tokens or ())
            numbers = list(concerned(row))
            asks = [self._calls.ask(name, one, method, words(row, one), level, until) for one in numbers]
            try:
                answers = [await asks[0]] if len(asks) == 1 else await asyncio.gather(*asks)
            except Moved:
                continue
            told = {shard: answer for shard, (answer, why) in zip(numbers, answers, strict=True) if not why}
            return told, {shard: why for shard, (_, why) in zip(numbers, answers, strict=True) if why}


def _failed(written: Mapping[int, tuple[int, int]], wrong: Mapping[int, BaseException]) -> BaseException:
    for error in wrong.values():
        if not isinstance(error, (Unknown, NoQuorum, Refused, Moved)):
            return error
    unknown = {
        shard: str(error)
        for shard, error in wrong.items()
        if isinstance(error, Unknown) or (isinstance(error, Moved) and error.maybe)
    }
    refused = {shard: str(error) for shard, error in wrong.items() if shard not in unknown}
    return Failed({shard: token for shard, (token, _) in written.items()}, unknown, refused)


def _by_shard(rows: pa.RecordBatch, row: CollectionRow) -> dict[int, pa.RecordBatch]:
    """The rows of each shard that has some of them."""
    owners = row.first + shard_of(rows.column(ID), len(row.shards))
    numbers = [int(one) for one in np.unique(owners)]
    return {one: rows if len(numbers) == 1 else rows.filter(pa.array(owners == one)) for one in numbers}


def _joined(batches: Sequence[pa.RecordBatch]) -> bytes:
    return to_bytes(batches[0] if len(batches) == 1 else pa.concat_batches(batches))


def _merged(parts: Mapping[int, bytes], missing: Mapping[int, str], k: int, offset: int) -> Found:
    if not parts:
        raise Unanswered(missing)
    hits = {shard: read_hits(part) for shard, part in parts.items()}
    tokens = {shard: one.seq for shard, one in hits.items()}
    return Found(merge_hits(list(hits.values()), k, offset), missing, tokens)

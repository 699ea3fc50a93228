"""The client of the shards: ids go to the shard that has them, questions to all, answers come back as one.

It holds the last table that it could read and goes on with it whatever dies; a replica that answers knows of a newer
leader before the table does. Works wherever an event loop runs: in a driver, a Serve replica, an actor. It never
decides who leads. Everything it sends may be repeated: a repeated write is the same write.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from actors.vectors.changes import from_bytes, of_ids, to_bytes
from actors.vectors.merging import first_by_id, in_order, merge_hits
from actors.vectors.query import Hits, Level, Query, TextQuery
from actors.vectors.replication.errors import Behind, Degraded, Fenced, NoQuorum, NotLeader, Refused, Unknown
from actors.vectors.routing import shard_of
from actors.vectors.rows import ID
from actors.vectors.snapshot import ShardCopy
from actors.vectors.tables import CollectionRow, ShardRow, read_table
from actors.vectors.wire import query_bytes, read_hits, text_query_bytes
from control.specs.collection import Acknowledgement
from control.specs.vector_filter import Filter

REFRESH_SECONDS = 0.5
PAUSE_SECONDS = 0.05
"""Before a shard without a leader is asked again."""
SHUN_SECONDS = 1.0
"""For how long a replica that did not answer is asked last; longer where it was waited for longer."""
LATE_SECONDS = 0.5
"""Of a deadline are left for the way back."""
_LOG = logging.getLogger(__name__)


class Call(Protocol):
    """A method of an actor, by its name; raises what it raised, or ConnectionError (nobody knows what it did)."""

    async def __call__(self, actor: str, method: str, *words: Any) -> Any: ...


class UnknownCollection(Exception):
    """No table has said anything of it; the message names those that there are."""


class Failed(Exception):
    """A write that is not acknowledged by all of its shards. `written` has the tokens of those that have it, `unknown`
    those that may have it, `refused` those that do not; each by the shard's number, with the reason.
    """

    def __init__(self, written: Mapping[int, int], unknown: Mapping[int, str], refused: Mapping[int, str]) -> None:
        super().__init__(written, unknown, refused)
        self.written, self.unknown, self.refused = written, unknown, refused

    def __str__(self) -> str:
        unknown = [f"it is not known whether shard {shard} has it: {why}" for shard, why in self.unknown.items()]
        refused = [f"shard {shard} does not have it: {why}" for shard, why in self.refused.items()]
        return "; ".join((*unknown, *refused))


@dataclass(frozen=True)
class Receipt:
    """`tokens` by shard: who reads with them reads this write. `rows` are those that it concerned."""

    tokens: Mapping[int, int]
    rows: int


@dataclass(frozen=True)
class Found:
    """`missing` has why each shard that did not answer in time is missing: what it has may belong before these hits."""

    hits: Hits
    missing: Mapping[int, str]


class Unanswered(Exception):
    """No shard, or not all that were needed, answered in time: by the shard's number, why."""

    def __init__(self, missing: Mapping[int, str]) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        return "; ".join(f"shard {shard} does not answer: {why}" for shard, why in self.missing.items())


class Shards:
    """`door` reads the table, in a thread, and may fail: then the last one holds."""

    def __init__(self, door: Callable[[], Mapping[str, Any] | None], call: Call) -> None:
        self._door, self._call = door, call
        self._table: dict[str, CollectionRow] = {}
        self._newer: dict[tuple[str, int], ShardRow] = {}
        self._flying: Counter[str] = Counter()
        self._shunned: dict[str, float] = {}
        self._turn = itertools.count()
        self._refreshing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Keeps the table fresh until it is cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """At once; who asks while it is read waits for that."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    def collections(self) -> Mapping[str, CollectionRow]:
        return self._table

    async def collection(self, name: str) -> CollectionRow:
        """Raises UnknownCollection."""
        if name not in self._table:
            await self.refresh()
        if name not in self._table:
            raise UnknownCollection(
                f"found no collection {name!r}: there are {', '.join(sorted(self._table)) or 'none'}"
            )
        return self._table[name]

    # Writes

    async def upsert(
        self, name: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Whole rows, checked. Raises Failed."""
        return await self._by_id(name, "upsert", rows, acknowledge, seconds)

    async def update(
        self, name: str, change: pa.RecordBatch, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """`id` and the columns to be put into the rows that are there. Each id once. Raises Failed."""
        return await self._by_id(name, "update", change, acknowledge, seconds)

    async def delete(
        self, name: str, ids: pa.Array, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        return await self._by_id(name, "delete", of_ids(ids), acknowledge, seconds)

    async def delete_where(
        self, name: str, where: Filter, acknowledge: Acknowledgement | None = None, seconds: float = 30.0
    ) -> Receipt:
        """Raises Failed."""
        row = await self.collection(name)
        words = dict.fromkeys(range(len(row.shards)), where)
        return await self._write(name, "delete_where", words, acknowledge or row.spec.acknowledge, seconds)

    # Reads; `tokens` are those of receipts

    async def search(
        self, name: str, query: Query, tokens: Mapping[int, int] | None = None, offset: int = 0, seconds: float = 10.0
    ) -> Found:
        """The k nearest behind the first `offset`, over all shards. Raises Unanswered where none answered."""
        row = await self.collection(name)
        asked = replace(query, k=query.k + offset)

        def words(shard: int) -> tuple[Any, ...]:
            return (query_bytes(replace(asked, token=(tokens or {}).get(shard, 0))),)

        parts, missing = await self._ask(name, range(len(row.shards)), "search", words, query.level, seconds)
        return _merged(parts, missing, query.k, offset)

    async def search_text(
        self, name: str, query: TextQuery, tokens: Mapping[int, int] | None = None, seconds: float = 10.0
    ) -> Found:
        """The k that fit the words best, over all shards. Raises Unanswered where none answered."""
        row = await self.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return (text_query_bytes(replace(query, token=(tokens or {}).get(shard, 0))),)

        parts, missing = await self._ask(name, range(len(row.shards)), "search_text", words, query.level, seconds)
        return _merged(parts, missing, query.k, 0)

    async def fetch(
        self, name: str, ids: pa.Array, columns: tuple[str, ...] = (), level: Level = Level.LOG,
        tokens: Mapping[int, int] | None = None, seconds: float = 10.0,
    ) -> pa.RecordBatch:  # fmt: skip
        """`id` and the columns, in the order of `ids`, without those that there are not. Raises Unanswered."""
        row = await self.collection(name)
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
        row = await self.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return where, after, limit, columns, level, (tokens or {}).get(shard, 0)

        parts = await self._ask_all(name, range(len(row.shards)), "scroll", words, level, seconds)
        return first_by_id([from_bytes(part) for part in parts], limit)

    async def count(
        self, name: str, where: Filter, level: Level = Level.LOG, tokens: Mapping[int, int] | None = None,
        seconds: float = 10.0,
    ) -> int:  # fmt: skip
        """Raises Unanswered."""
        row = await self.collection(name)

        def words(shard: int) -> tuple[Any, ...]:
            return where, level, (tokens or {}).get(shard, 0)

        return sum(await self._ask_all(name, range(len(row.shards)), "count", words, level, seconds))

    # For those who run the plane

    async def snapshot(self, name: str, url: str, seconds: float) -> list[ShardCopy]:
        """Each shard as its leader has it now, copied to its place at `url`. Raises Unanswered, SnapshotError."""
        row = await self.collection(name)
        return await self._ask_all(name, range(len(row.shards)), "snapshot", lambda _: (url,), Level.QUORUM, seconds)

    async def optimise(self, name: str, seconds: float = 10.0) -> dict[str, str]:
        """Every replica begins to make one segment of all its rows; by actor, why one of them does not."""
        row = await self.collection(name)
        actors = [actor for shard in row.shards for actor in shard.members]
        asks = (asyncio.wait_for(self._call(actor, "optimise"), seconds) for actor in actors)
        answers = zip(actors, await asyncio.gather(*asks, return_exceptions=True), strict=True)
        return {actor: str(one) or type(one).__name__ for actor, one in answers if isinstance(one, BaseException)}

    # How

    async def _by_id(
        self, name: str, method: str, rows: pa.RecordBatch, acknowledge: Acknowledgement | None, seconds: float
    ) -> Receipt:
        row = await self.collection(name)
        shards = shard_of(rows.column(ID), len(row.shards))
        numbers = [int(shard) for shard in np.unique(shards)]
        parts = {one: rows if len(numbers) == 1 else rows.filter(pa.array(shards == one)) for one in numbers}
        words = {shard: to_bytes(part) for shard, part in parts.items()}
        return await self._write(name, method, words, acknowledge or row.spec.acknowledge, seconds)

    async def _write(
        self, name: str, method: str, words: Mapping[int, Any], acknowledge: Acknowledgement, seconds: float
    ) -> Receipt:
        until = asyncio.get_running_loop().time() + seconds
        writes = [self._write_one(name, shard, method, word, acknowledge, until) for shard, word in words.items()]
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

    async def _write_one(
        self, name: str, shard: int, method: str, word: Any, acknowledge: Acknowledgement, until: float
    ) -> tuple[int, int]:
        """Goes after the leader until it is acknowledged, refused, or late."""
        maybe, why = False, "no leader is known"
        while (left := until - asyncio.get_running_loop().time()) > 0:
            leader = self._shard(name, shard).leader
            if leader:
                try:
                    answer: tuple[int, int] = await self._send(leader, method, word, acknowledge, left=left)
                    return answer
                except NotLeader as error:
                    why = str(error)
                    if self._learn(name, shard, error):
                        continue
                except (Unknown, ConnectionError, TimeoutError) as error:
                    maybe, why = True, str(error) or f"no answer within {left:.1f} s"
                except NoQuorum as error:
                    why = str(error)
                except Refused:
                    if maybe:
                        break
                    raise
            await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - asyncio.get_running_loop().time())))
            await self._refresh_within(until)
        raise Unknown(why) if maybe else NoQuorum(why)

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
            answers = [await self._ask_one(name, numbers[0], method, words(numbers[0]), level, until)]
        else:
            asks = [self._ask_one(name, shard, method, words(shard), level, until) for shard in numbers]
            answers = await asyncio.gather(*asks)
        told = {shard: answer for shard, (answer, why) in zip(numbers, answers, strict=True) if not why}
        return told, {shard: why for shard, (_, why) in zip(numbers, answers, strict=True) if why}

    async def _ask_one(
        self, name: str, shard: int, method: str, words: tuple[Any, ...], level: Level, until: float
    ) -> tuple[Any, str]:
        """The answer and "", or why there is none."""
        loop, why = asyncio.get_running_loop(), "no replica is known"
        tried: set[str] = set()
        while (left := until - loop.time()) > 0:
            actor = self._pick(self._shard(name, shard), level, tried)
            if actor:
                tried.add(actor)
                if level is not Level.QUORUM and not tried.issuperset(self._shard(name, shard).members):
                    left /= 2  # should this one hang, another can still answer
                asked = loop.time()
                try:
                    return await self._send(actor, method, *words, left=left), ""
                except NotLeader as error:
                    why = str(error)
                    if self._learn(name, shard, error):
                        tried.discard(error.leader)
                        continue
                except (ConnectionError, TimeoutError) as error:
                    why = str(error) or f"no answer within {left:.1f} s"
                    self._shunned[actor] = loop.time() + max(SHUN_SECONDS, loop.time() - asked)
                except (Behind, Degraded, NoQuorum, Fenced) as error:
                    why = str(error)
            if actor and tried.issuperset(self._shard(name, shard).members):
                tried = set()
            elif actor and level is not Level.QUORUM:
                continue
            await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - loop.time())))
            await self._refresh_within(until)
        return None, why

    def _pick(self, row: ShardRow, level: Level, tried: set[str]) -> str:
        """The leader for QUORUM; else of those not tried yet one that answers, with the fewest calls on their way."""
        if level is Level.QUORUM:
            return row.leader
        if len(row.members) == 1:
            return row.members[0]
        now, turn = asyncio.get_running_loop().time(), next(self._turn)
        untried = [one for one in row.members if one not in tried] or list(row.members)
        untried = untried[turn % len(untried) :] + untried[: turn % len(untried)] if untried else [""]
        return min(untried, key=lambda one: (self._shunned.get(one, 0.0) > now, self._flying[one]))

    async def _send(self, actor: str, method: str, *words: Any, left: float) -> Any:
        self._flying[actor] += 1
        try:
            async with asyncio.timeout(left):
                return await self._call(actor, method, *words, max(left - LATE_SECONDS, left / 2))
        finally:
            self._flying[actor] -= 1

    def _shard(self, name: str, shard: int) -> ShardRow:
        row = self._table[name].shards[shard]
        newer = self._newer.get((name, shard))
        if newer is None or newer.epoch <= row.epoch:
            return row
        return replace(row, epoch=newer.epoch, leader=newer.leader)

    def _learn(self, name: str, shard: int, error: NotLeader) -> bool:
        """Whether that names another leader than was asked."""
        known = self._shard(name, shard)
        if not error.leader or error.epoch <= known.epoch:
            return False
        self._newer[name, shard] = ShardRow(error.epoch, error.leader, ())
        return True

    async def _refresh_within(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self.refresh()
        except TimeoutError:
            return

    async def _refresh(self) -> None:
        try:
            body = await asyncio.get_running_loop().run_in_executor(None, self._door)
            if body is not None:
                self._table = read_table(body)
        except Exception as error:
            _LOG.warning("the table of collections cannot be read, the last one holds: %s", error)


def _merged(parts: Mapping[int, bytes], missing: Mapping[int, str], k: int, offset: int) -> Found:
    if not parts:
        raise Unanswered(missing)
    return Found(merge_hits([read_hits(part) for part in parts.values()], k, offset), missing)

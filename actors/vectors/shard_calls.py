"""One shard written to or asked: which of its replicas is called, and what follows when that one does not answer.

It never decides who leads. Everything it sends may be repeated: a repeated write is the same write.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import Any, Protocol

from actors.vectors.collection_table import CollectionTable
from actors.vectors.query import Level
from actors.vectors.replication.errors import Behind, Degraded, Fenced, NoQuorum, NotLeader, Refused, Unknown
from actors.vectors.tables import ShardRow
from control.specs.collection import Acknowledgement

PAUSE_SECONDS = 0.05
"""Before a shard without a leader is asked again."""
SHUN_SECONDS = 1.0
"""For how long a replica that did not answer is asked last; longer where it was waited for longer."""
LATE_SECONDS = 0.5
"""Of a deadline are left for the way back."""


class Call(Protocol):
    """A method of an actor, by its name; raises what it raised, or ConnectionError (nobody knows what it did)."""

    async def __call__(self, actor: str, method: str, *words: Any) -> Any: ...


class ShardCalls:
    """`until` is always a moment on the event loop's clock."""

    def __init__(self, table: CollectionTable, call: Call) -> None:
        self._table, self._call = table, call
        self._flying: Counter[str] = Counter()
        self._shunned: dict[str, float] = {}
        self._turn = itertools.count()

    async def write(
        self, name: str, shard: int, method: str, word: Any, acknowledge: Acknowledgement, until: float
    ) -> tuple[int, int]:
        """Goes after the leader until it is acknowledged, refused, or late. Raises Unknown, NoQuorum and Refused."""
        loop, maybe, why = asyncio.get_running_loop(), False, "no leader is known"
        while (left := until - (sent := loop.time())) > 0:
            leader = self._table.shard(name, shard).leader
            if leader:
                try:
                    async with self._table.while_leading(name, shard, leader, left):
                        answer: tuple[int, int] = await self._send(leader, method, word, acknowledge, left=left)
                    return answer
                except NotLeader as error:
                    why = str(error)
                    self._table.learn(name, shard, error)
                except (Unknown, ConnectionError, TimeoutError) as error:
                    maybe, why = True, str(error) or f"no answer within {loop.time() - sent:.1f} s"
                except NoQuorum as error:
                    why = str(error)
                except Refused:
                    if maybe:
                        break
                    raise
                if self._table.superseded(name, shard, leader):
                    continue
            await self._pause(until)
        raise Unknown(why) if maybe else NoQuorum(why)

    async def ask(
        self, name: str, shard: int, method: str, words: tuple[Any, ...], level: Level, until: float
    ) -> tuple[Any, str]:
        """The answer and "", or why there is none."""
        loop, why = asyncio.get_running_loop(), "no replica is known"
        tried: set[str] = set()
        while (left := until - (sent := loop.time())) > 0:
            row = self._table.shard(name, shard)
            actor = self._pick(row, level, tried)
            if actor:
                tried.add(actor)
                if level is not Level.QUORUM and not tried.issuperset(row.members):
                    left /= 2  # should this one hang, another can still answer
                try:
                    async with self._limit(name, shard, actor, level, left):
                        return await self._send(actor, method, *words, left=left), ""
                except NotLeader as error:
                    why = str(error)
                    self._table.learn(name, shard, error)
                except (ConnectionError, TimeoutError) as error:
                    why = str(error) or f"no answer within {loop.time() - sent:.1f} s"
                    self._shunned[actor] = loop.time() + max(SHUN_SECONDS, loop.time() - sent)
                except (Behind, Degraded, NoQuorum, Fenced) as error:
                    why = str(error)
                if level is Level.QUORUM and self._table.superseded(name, shard, actor):
                    continue
            if actor and tried.issuperset(self._table.shard(name, shard).members):
                tried = set()
            elif actor and level is not Level.QUORUM:
                continue
            await self._pause(until)
        return None, why

    def _limit(
        self, name: str, shard: int, actor: str, level: Level, left: float
    ) -> contextlib.AbstractAsyncContextManager[object]:
        if level is Level.QUORUM:
            return self._table.while_leading(name, shard, actor, left)
        return asyncio.timeout(left)

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
            return await self._call(actor, method, *words, max(left - LATE_SECONDS, left / 2))
        finally:
            self._flying[actor] -= 1

    async def _pause(self, until: float) -> None:
        """And what the table says then."""
        await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - asyncio.get_running_loop().time())))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._table.refresh()

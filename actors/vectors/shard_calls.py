"""One shard written to or asked: which of its replicas is called, and what follows when that one does not answer.

It never decides who leads. Everything it sends may be repeated: a repeated write is the same write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

from actors.vectors.collection_table import CollectionTable
from actors.vectors.hedge import Hedge
from actors.vectors.query import Level
from actors.vectors.replica_choice import ReplicaChoice
from actors.vectors.replication.errors import (
    Behind,
    Degraded,
    Fenced,
    Moved,
    NoQuorum,
    NotLeader,
    Refused,
    Starting,
    Unaware,
    Unknown,
)
from control.specs.collection import Acknowledgement

PAUSE_SECONDS = 0.05
"""Before a shard without a leader is asked again."""
LATE_SECONDS = 0.5
"""Of a deadline are left for the way back."""
UNABLE = (NotLeader, Behind, Degraded, NoQuorum, Fenced, Moved, Starting, Unaware)
"""What a replica says that answers, but not this read."""


class Call(Protocol):
    """A method of an actor, by its name; raises what it raised, or ConnectionError (nobody knows what it did)."""

    async def __call__(self, actor: str, method: str, *words: Any) -> Any: ...


class ShardCalls:
    """`until` is always a moment on the event loop's clock."""

    def __init__(self, table: CollectionTable, call: Call) -> None:
        self._table, self._call = table, call
        self._choice = ReplicaChoice()
        self._hedges: defaultdict[tuple[str, int, str], Hedge] = defaultdict(Hedge)

    async def write(
        self, name: str, shard: int, method: str, word: Any, acknowledge: Acknowledgement, until: float, maybe: bool
    ) -> tuple[int, int]:
        """Goes after the leader until it is acknowledged, refused, or late. Raises Unknown, NoQuorum and Refused, and
        Moved once other shards serve; `maybe` it was written before.
        """
        loop, why = asyncio.get_running_loop(), "no leader is known"
        while (left := until - (sent := loop.time())) > 0:
            try:
                leader = self._table.shard(name, shard).leader
            except Moved:
                raise Moved(maybe) from None
            if leader:
                try:
                    async with self._table.while_leading(name, shard, leader, left):
                        answer: tuple[int, int] = await self._send(leader, method, word, acknowledge, left=left)
                    return answer
                except NotLeader as error:
                    why = str(error)
                    self._table.learn(name, shard, error)
                except (Unknown, ConnectionError, TimeoutError) as error:
                    maybe, why = True, str(error) or _late(sent)
                except (NoQuorum, Moved, Unaware) as error:
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
        """The answer and "", or why there is none. Raises Moved once other shards serve."""
        ask = self._ask_leader if level is Level.QUORUM else self._ask_any
        return await ask(name, shard, method, words, until)

    async def _ask_leader(
        self, name: str, shard: int, method: str, words: tuple[Any, ...], until: float
    ) -> tuple[Any, str]:
        loop, why = asyncio.get_running_loop(), "no leader is known"
        while (left := until - (sent := loop.time())) > 0:
            leader = self._table.shard(name, shard).leader
            if leader:
                try:
                    async with self._table.while_leading(name, shard, leader, left):
                        return await self._send(leader, method, *words, left=left), ""
                except NotLeader as error:
                    why = str(error)
                    self._table.learn(name, shard, error)
                except (ConnectionError, TimeoutError) as error:
                    why = str(error) or _late(sent)
                    self._silent([(leader, sent)])
                except UNABLE as error:
                    why = str(error)
                if self._table.superseded(name, shard, leader):
                    continue
            await self._pause(until)
        return None, why

    async def _ask_any(
        self, name: str, shard: int, method: str, words: tuple[Any, ...], until: float
    ) -> tuple[Any, str]:
        """Of one member, and of the next where it fails or takes long: the first answer counts."""
        loop, why = asyncio.get_running_loop(), "no replica is known"
        hedge = self._hedges[name, shard, method]
        hedge.begin()
        tried: set[str] = set()
        calls: dict[asyncio.Task[Any], tuple[str, float]] = {}
        try:
            while (left := until - loop.time()) > 0:
                actor, others = self._choice.pick(self._table.shard(name, shard).members, tried, loop.time())
                if actor:
                    tried.add(actor)
                    call = asyncio.create_task(self._send(actor, method, *words, left=left))
                    call.add_done_callback(_looked_at)
                    calls[call] = actor, loop.time()
                elif not calls:
                    await self._pause(until)
                    tried.clear()
                    continue
                failed = len(tried) > len(calls)
                wait = hedge.patience(left) if others else min(PAUSE_SECONDS, left) if failed else left
                done, _ = await asyncio.wait(calls, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done and others and not hedge.spend():
                    done, _ = await asyncio.wait(calls, timeout=left / 2 - wait, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    actor, sent = calls.pop(call)
                    try:
                        answer = call.result()
                    except (ConnectionError, TimeoutError) as error:
                        why = str(error) or _late(sent)
                        self._silent([(actor, sent)])
                    except UNABLE as error:
                        why = str(error)
                    else:
                        hedge.answered(loop.time() - sent)
                        self._choice.answered(actor)
                        self._silent(one for one in calls.values() if one[1] < sent)
                        return answer, ""
                if not done and not others:
                    tried = {actor for actor, _ in calls.values()}
            self._silent(calls.values())
            return None, _late(min(sent for _, sent in calls.values())) if calls else why
        finally:
            for call in calls:
                call.cancel()

    def _silent(self, calls: Iterable[tuple[str, float]]) -> None:
        now = asyncio.get_running_loop().time()
        for actor, sent in calls:
            self._choice.silent(actor, now - sent, now)

    async def _send(self, actor: str, method: str, *words: Any, left: float) -> Any:
        self._choice.flying[actor] += 1
        try:
            return await self._call(actor, method, *words, max(left - LATE_SECONDS, left / 2))
        finally:
            self._choice.flying[actor] -= 1

    async def _pause(self, until: float) -> None:
        """And what the table says then."""
        await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - asyncio.get_running_loop().time())))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._table.refresh()


def _late(sent: float) -> str:
    return f"no answer within {asyncio.get_running_loop().time() - sent:.1f} s"


def _looked_at(done: asyncio.Task[Any]) -> None:
    """Its error: nobody may be left to hear it."""
    if not done.cancelled():
        done.exception()

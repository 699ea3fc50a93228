"""The table of collections as a client of their shards holds it: the last that could be read, and newer leaders.

A replica that answers knows of a newer leader before the table does. It never decides who leads, and goes on with what
it has whatever dies. Nothing is stored: who starts again reads the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from actors.vectors.answers import Unanswered, UnknownCollection, UnknownToken
from actors.vectors.replication.errors import Moved, NotLeader
from actors.vectors.tables import CollectionRow, ShardRow, read_table

REFRESH_SECONDS = 0.5
_LOG = logging.getLogger(__name__)


class CollectionTable:
    """`door` reads the table, in a thread, and may fail: then the last one holds."""

    def __init__(self, door: Callable[[], Mapping[str, Any] | None]) -> None:
        self.rows: Mapping[str, CollectionRow] = {}
        self._door = door
        self._newer: dict[tuple[str, int], ShardRow] = {}
        self._watched: dict[asyncio.Timeout, tuple[str, int, str]] = {}
        self._refreshing: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Keeps it fresh until it is cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> bool:
        """At once, and whether it could be read; who asks while it is read waits for that."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return await asyncio.shield(self._refreshing)

    async def collection(self, name: str, seen: Iterable[int] = ()) -> CollectionRow:
        """As new as those knew it who have `seen` these shards. Raises UnknownCollection, UnknownToken where there are
        no such shards, and Unanswered where that cannot be known.
        """
        newest = max(seen, default=-1)
        if name not in self.rows or newest >= self.rows[name].numbers.stop:
            read = await self.refresh()
            if name not in self.rows:
                known = ", ".join(sorted(self.rows)) or "none"
                raise UnknownCollection(f"found no collection {name!r}: there are {known}")
            if newest >= self.rows[name].numbers.stop:
                if not read:
                    raise Unanswered({newest: "the table of collections cannot be read, and the last one lacks it"})
                raise UnknownToken(f"found shard {newest}: the collection {name!r} has none of that number")
        return self.rows[name]

    def shard(self, name: str, shard: int) -> ShardRow:
        """With the newest leader that is known. Raises UnknownCollection where it was deleted meanwhile, Moved where
        other shards serve now.
        """
        if name not in self.rows:
            raise UnknownCollection(f"the collection {name!r} was deleted meanwhile")
        if shard not in self.rows[name].numbers:
            raise Moved
        row = self.rows[name].shards[shard - self.rows[name].first]
        newer = self._newer.get((name, shard))
        if newer is None or newer.epoch <= row.epoch:
            return row
        return replace(row, epoch=newer.epoch, leader=newer.leader)

    def learn(self, name: str, shard: int, error: NotLeader) -> None:
        """What a replica says of the shard's leader."""
        with contextlib.suppress(Moved):
            if error.leader and error.epoch > self.shard(name, shard).epoch:
                self._newer[name, shard] = ShardRow(error.epoch, error.leader, ())
                self._give_up()

    def superseded(self, name: str, shard: int, leader: str) -> bool:
        """Whether another one leads the shard now, or other shards serve."""
        try:
            return self.shard(name, shard).leader not in ("", leader)
        except Moved:
            return True

    @contextlib.asynccontextmanager
    async def while_leading(self, name: str, shard: int, leader: str, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after `seconds`, and once another one leads the shard: a hung leader says nothing."""
        async with asyncio.timeout(seconds) as limit:
            self._watched[limit] = name, shard, leader
            try:
                yield
            finally:
                del self._watched[limit]

    def _give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit, (name, shard, leader) in self._watched.items():
            if name in self.rows and self.superseded(name, shard, leader) and not limit.expired():
                limit.reschedule(now)

    async def _refresh(self) -> bool:
        try:
            body = await asyncio.get_running_loop().run_in_executor(None, self._door)
            if body is not None:
                self.rows = read_table(body)
        except Exception as error:
            _LOG.warning("the table of collections cannot be read, the last one holds: %s", error)
            return False
        self._give_up()
        return body is not None

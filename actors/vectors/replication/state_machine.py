"""The shard as the state machine of its log: the final entries are applied to it, each once and in their order.

It owns the shard and how far the log is applied to it. It never applies what is not final, and answers nothing: whoever
reads the shard looks at `lacks` first. A crash leaves the shard at its receipt, or a copy that is to take its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from actors.vectors.log import LogCut
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.watermark import Watermark
from actors.vectors.rows import UnknownField
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec

Result = TypeVar("Result")
SHOWN_SECONDS = 0.5
"""How long an acknowledgement waits for the rows to be seen."""
ALONE_SECONDS = 5.0
"""After its start a replica that hears of no leader answers with what it has."""
IDLE_SECONDS = 0.25
"""Between two looks at whether the shard has something to do in the background."""


class StateMachine:
    """`restoring`: its first rows are still to come, from a snapshot."""

    def __init__(self, shard: Shard, spec: CollectionSpec, journal: Journal, restoring: bool) -> None:
        self.shard, self.spec, self.restoring = shard, spec, restoring
        self.applied = Watermark(shard.applied.seq)
        self.floor = journal.committed
        """What was final when it opened, or when a leader spoke to it first: it answers nothing with less."""
        self.gap = ("its rows are being restored from a snapshot",) if restoring else ()
        """What it lacks beside its damaged parts."""
        self._unknown = ""
        """Why it applies nothing: it must not drop a field that it will be told of."""
        self.turn = asyncio.Lock()
        """Of what changes the shard: applying, and putting another in its place."""
        self._journal = journal
        self._news = asyncio.Event()
        self._told, self._alone_from = False, math.inf
        self._applier, self._maintainer = ThreadPoolExecutor(1, "apply"), ThreadPoolExecutor(1, "maintain")

    @property
    def degraded(self) -> tuple[str, ...]:
        return (*self.shard.degraded, *self.gap)

    @property
    def lacks(self) -> str:
        """Why it answers nothing from its data, for people; "" where it can."""
        return "; ".join(filter(None, (*self.degraded, self._unknown)))

    @property
    def starting(self) -> bool:
        """What was acknowledged while it was away may be missing: it has heard of no leader, and is not alone yet."""
        return not self._told and asyncio.get_running_loop().time() < self._alone_from

    def hear(self, final: int) -> None:
        """A leader says how far the shard's log is final, of which this one may have less; 0 where it cannot know."""
        if final and not self._told:
            self._told, self.floor = True, max(self.floor, final)

    def commit(self, seq: int) -> None:
        """The log is final up to `seq`."""
        if seq > self._journal.committed:
            self._journal.commit(seq)
            self._news.set()

    async def run(self, told: Callable[[int], None]) -> None:
        """Applies what becomes final, and says how far it got, until it is cancelled."""
        self._alone_from = asyncio.get_running_loop().time() + ALONE_SECONDS
        while True:
            while self.applied.value >= self._journal.committed:
                self._news.clear()
                await self._news.wait()
            if self.restoring:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            if not await self._apply():
                await asyncio.sleep(IDLE_SECONDS)
            told(self.applied.value)

    async def _apply(self) -> bool:
        """Whether there was something."""
        async with self.turn:
            try:
                _, entries = await self._journal.behind(self.applied.value)
            except LogCut as error:
                self.gap = (f"the shard is at {self.applied.value}, and {error}",)
                return False
            final = [entry for entry in entries if entry.seq <= self._journal.committed]
            if final:
                loop = asyncio.get_running_loop()
                try:
                    await loop.run_in_executor(self._applier, lambda: self.shard.apply(final))
                except UnknownField as error:
                    self._unknown = str(error)
                    return False
                self._unknown = ""
                self.applied.rise(final[-1].seq)
            return bool(final)

    async def shown(self, seq: int) -> None:
        """Whoever is told of a write and then reads here should see it; a late one is acknowledged all the same."""
        if not self.lacks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOWN_SECONDS):
                    await self.applied.reach(seq)

    def replace(self, shard: Shard) -> None:
        """By a whole one, of final entries alone. The caller has the turn."""
        before, self.shard = self.shard, shard
        before.close()
        self.gap, self.restoring, self._unknown = (), False, ""
        self.floor = max(self.floor, self.applied.value)
        self.applied.put(shard.applied.seq)
        self.commit(shard.applied.seq)
        self._news.set()

    async def background(self, job: Callable[[], Result]) -> Result:
        """In the thread that maintains the shard."""
        return await asyncio.get_running_loop().run_in_executor(self._maintainer, job)

    async def retune(self, spec: CollectionSpec) -> None:
        """It holds when it returns, also for a shard that is just being put in the place of this one."""
        async with self.turn:
            await self.background(lambda: self.shard.retune(spec))
            self.spec = spec

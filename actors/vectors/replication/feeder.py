"""Brings one other replica what it lacks of the leader's log, one message after the other.

A slow one is sent more at a time, from memory or else from the log; it never makes the leader keep anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from actors.vectors.entry import Position
from actors.vectors.log import LogCut
from actors.vectors.replication.errors import Fenced
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Append, Appended, Peer
from actors.vectors.replication.progress import LEASE_SECONDS

BEAT_SECONDS = LEASE_SECONDS / 5
"""Between two messages where there is nothing to send: they renew the lease."""
COMMIT_SECONDS = 0.02
"""How long what has become final waits for entries that it can go with."""
ANSWER_SECONDS = 2.5 * LEASE_SECONDS
"""After which a message counts as lost, and is sent again."""
PAUSE_SECONDS = 0.25
"""Before a replica that does not answer, or takes nothing, is asked again."""


class Feeder:
    """`heard` is told of every answer, and when it was asked for; `why` is what keeps the replica back."""

    def __init__(
        self, term: int, me: str, peer: Peer, journal: Journal, heard: Callable[[Appended | None, float], None]
    ) -> None:
        self.why = ""
        self._term, self._me, self._peer, self._journal, self._heard = term, me, peer, journal, heard
        self._news = asyncio.Event()
        self._committed = 0

    def notify(self, committed: int) -> None:
        """There are new entries, or more of them are final."""
        self._committed = committed
        self._news.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        after, told = self._journal.last.seq, 0
        beats = asyncio.create_task(self._beat())
        try:
            while True:
                self._news.clear()
                request = await self._request(after)
                told = request.committed
                answer = await self._ask(request)
                if answer is None:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                stuck = not answer.fits and answer.matched >= request.previous.seq
                after, self.why = answer.matched, answer.why or "its log does not fit" * stuck
                if self.why:
                    await asyncio.sleep(PAUSE_SECONDS)
                elif answer.fits and after >= self._journal.last.seq:
                    await self._wait(after, told)
        finally:
            beats.cancel()

    async def _request(self, after: int) -> Append:
        after = min(after, self._journal.last.seq)
        try:
            previous, entries = await self._journal.behind(after)
        except LogCut:
            return Append(self._term, self._me, Position(0, 0), (), self._committed, copy=True)
        return Append(self._term, self._me, previous, tuple(entries), self._committed)

    async def _wait(self, after: int, told: int) -> None:
        """For entries, or for what the other does not know to be final yet, or for the next beat."""
        with contextlib.suppress(TimeoutError):
            if self._committed > told:
                async with asyncio.timeout(COMMIT_SECONDS):
                    while self._journal.last.seq <= after:
                        self._news.clear()
                        await self._news.wait()
            else:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._news.wait()

    async def _beat(self) -> None:
        """While the other's disk is slow, or it fetches a copy: it follows all the same."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._ask(Append(self._term, self._me, Position(0, 0), (), 0), told=False)

    async def _ask(self, request: Append, told: bool = True) -> Appended | None:
        asked = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._peer.append(request)
        except (ConnectionError, TimeoutError, OSError) as error:
            self.why = f"does not answer: {error}"
            return None
        except Fenced as error:
            self.why = str(error)
            return None
        self._heard(answer if told else None, asked)
        return answer

"""A replica while it leads its shard: it orders the writes, feeds the others, and says what is acknowledged.

One is made for each term and ended with it. It never acknowledges, nor says that a read is fresh, but under its lease.
What a crash leaves: entries in its log and in others', each whole, acknowledged to nobody or to all who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from actors.vectors.entry import Entry
from actors.vectors.replication.errors import NoQuorum, Refused, Unknown
from actors.vectors.replication.feeder import Feeder
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Appended, Peer
from actors.vectors.replication.progress import LEASE_SECONDS, QUIET_SECONDS, Progress
from actors.vectors.replication.watermark import Watermark
from control.specs.collection import Acknowledgement

RETRY_SECONDS = 0.5
"""Before an entry that a full disk did not take is tried again."""
_BACK_SECONDS = LEASE_SECONDS / 10


class Leading:
    """`committed` is told how far the log is final; `failed` that the disk has dropped entries others may have."""

    def __init__(
        self,
        me: str,
        state: HardState,
        journal: Journal,
        peers: Callable[[str], Peer],
        committed: Callable[[int], None],
        failed: Callable[[], None],
        *,
        quiet: bool,
    ) -> None:
        self.state = state
        self.written = Watermark()
        """How far the log is written, of which followers may have as much."""
        self._me, self._journal, self._peers = me, journal, peers
        self._committed, self._failed = committed, failed
        self._durable, self._final, self._everywhere = Watermark(), Watermark(), Watermark()
        self._progress: Progress | None = None
        self._feeders: dict[str, Feeder] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        now = asyncio.get_running_loop().time()
        self._quiet_until = now + QUIET_SECONDS if quiet else now
        self._ended: Exception | None = None
        self._full = False

    async def begin(self, append: Callable[[], Awaitable[Entry]]) -> None:
        """Makes what it has of earlier terms its own, by the first entry of its term, and feeds the others."""
        while True:
            try:
                first = await append()
                break
            except OSError:
                self._full = True
                await asyncio.sleep(RETRY_SECONDS)
        self._progress = Progress(self._me, self.state.members, first.seq)
        self._tasks["sync"] = asyncio.create_task(self._sync())
        self.feed(self.state.learners)
        self.advance(first.seq)

    def feed(self, learners: Sequence[str]) -> None:
        """These beside the members, and no learners but these."""
        wanted = [name for name in dict.fromkeys((*self.state.members, *learners)) if name != self._me]
        for name in [one for one in self._feeders if one not in wanted]:
            self._tasks.pop(name).cancel()
            del self._feeders[name]
        for name in wanted:
            if name in self._feeders:
                continue
            peer = self._peers(name)
            heard = self._hears(name)
            feeder = self._feeders[name] = Feeder(self.state.term, self._me, peer, self._journal, heard)
            feeder.notify(self._final.value)
            self._tasks[name] = asyncio.create_task(feeder.run())

    def end(self, error: Exception) -> None:
        """Nothing is acknowledged any more; what waits for it is told that it is not known. `error` is for the rest."""
        self._ended = error
        for task in self._tasks.values():
            task.cancel()
        for mark in (self.written, self._durable, self._final, self._everywhere):
            mark.end(Unknown("another leader may have taken over before this write was acknowledged"))

    def check(self) -> None:
        """Raises what ended it, or Refused where it cannot take writes yet."""
        if self._ended is not None:
            raise self._ended
        if self._progress is None and self._full:
            raise Refused("the disk of the shard's leader is full: it can write nothing")

    def advance(self, seq: int) -> None:
        """The log is written up to `seq`."""
        self.written.rise(seq)
        for feeder in self._feeders.values():
            feeder.notify(self._final.value)

    async def acknowledged(self, seq: int, acknowledge: Acknowledgement) -> None:
        """Returns when entry `seq` counts; raises Unknown where that is not to be known any more."""
        mark = {"one": self._durable, "quorum": self._final, "all": self._everywhere}[acknowledge]
        await mark.reach(seq)
        while not self._holds():
            await asyncio.sleep(_BACK_SECONDS)

    async def fresh(self) -> int:
        """Up to where the log must be applied to hold all that was acknowledged to anybody before this call."""
        seq = self.written.value
        while self._ended is None and not self._holds():
            await asyncio.sleep(_BACK_SECONDS)
        return seq

    def confirm(self) -> None:
        """Raises what ended it, or NoQuorum where it does not hold its lease at this moment."""
        if self._ended is not None:
            raise self._ended
        if not self._holds():
            raise NoQuorum(self.lacks())

    @property
    def begun(self) -> bool:
        return self._progress is not None

    @property
    def established(self) -> bool:
        """Its members have all that was acknowledged in earlier epochs."""
        return self._final.value > 0

    @property
    def reached(self) -> bool:
        """A quorum has answered within its lease."""
        now = asyncio.get_running_loop().time()
        return self._progress is not None and now < self._progress.lease_end(now)

    @property
    def everywhere(self) -> int:
        return self._everywhere.value

    def lacks(self) -> str:
        """For people: why nothing is acknowledged."""
        now = asyncio.get_running_loop().time()
        if self._progress is None:
            return "the disk of the shard's leader is full" if self._full else "the shard's leader has just begun"
        if now < self._quiet_until:
            return "the shard's leader is new, and the one before may still hold its lease"
        reasons = [f"{one} {self._feeders[one].why or 'is silent'}" for one in self._progress.silent(now)]
        members = len(self.state.members)
        return f"{len(reasons)} of {members} members do not follow: {'; '.join(reasons)}" if reasons else "it is late"

    def _holds(self) -> bool:
        if self._ended is not None:
            raise Unknown("another leader may have taken over")
        return self.reached and asyncio.get_running_loop().time() >= self._quiet_until

    def _hears(self, name: str) -> Callable[[Appended | None, float], None]:
        def heard(answer: Appended | None, asked: float) -> None:
            assert self._progress is not None
            self._progress.answered(name, asked)
            if answer is not None and answer.fits:
                self._progress.matches(name, answer.matched)
                self._count()

        return heard

    async def _sync(self) -> None:
        """The leader's own disk; while it is full, a new term begins behind what is on it."""
        assert self._progress is not None
        while True:
            await self.written.reach(self._durable.value + 1)
            seq = self.written.value
            try:
                await self._journal.sync(seq)
            except OSError:
                self._failed()
                return
            self._progress.matches(self._me, seq)
            self._durable.rise(seq)
            self._count()

    def _count(self) -> None:
        assert self._progress is not None
        self._everywhere.rise(min(self._progress.everywhere, self._progress.committed))
        if self._progress.committed > self._final.value:
            self._final.rise(self._progress.committed)
            self._committed(self._final.value)
            for feeder in self._feeders.values():
                feeder.notify(self._final.value)

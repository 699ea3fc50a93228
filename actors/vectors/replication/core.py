"""One replica of a shard, apart from how it is called: which entries its log takes, in which order, and from whom.

It owns the replica's directory: the log, what it promised, and by its state machine and its upkeep the shard's files.
It never decides who leads. A crash at any line leaves a log whose written end may be cut, and small files
old or new; it starts again as what it was: who led leads on in a new term, who followed waits for its leader.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from actors.vectors.entry import Entry, Kind
from actors.vectors.manifest import has_receipt
from actors.vectors.replication import install
from actors.vectors.replication.accept import Unmatched
from actors.vectors.replication.copying import Copies
from actors.vectors.replication.errors import Fenced, Moved, NoQuorum, NotLeader, Refused, Unknown
from actors.vectors.replication.filler import Filler
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.leading import RETRY_SECONDS, Leading
from actors.vectors.replication.messages import Append, Appended, Other
from actors.vectors.replication.state_machine import StateMachine
from actors.vectors.replication.term import epoch_of
from actors.vectors.replication.upkeep import Upkeep
from actors.vectors.replication.writer import Item, Write, Writer
from actors.vectors.shard import Shard
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.replica import Assignment, Promise

_LOG = logging.getLogger(__name__)
_FULL = "the disk of the shard's leader is full"


class ReplicaCore:
    """Of one event loop. `peers` gives the way to another replica by its name, `held` is the directory's lock."""

    def __init__(
        self, me: str, directory: Path, spec: CollectionSpec, peers: Callable[[str], Other], held: int,
        state: HardState, journal: Journal, shard: Shard,
    ) -> None:  # fmt: skip
        self.me, self.state, self.journal = me, state, journal
        files = directory / install.SHARD
        self.machine = StateMachine(shard, spec, journal, spec.restore is not None and not has_receipt(files))
        self.copies = Copies(lambda: self.machine.shard, lambda: self.machine.lacks, files, self.machine.background)
        self.leading: Leading | None = None
        self.filler: Filler | None = None
        self._peers, self._held = peers, held
        self._order = asyncio.Lock()  # of whatever changes the log or the state
        self._upkeep = Upkeep(
            me, directory, peers, self.machine, journal, self._order, lambda: self.state, lambda: self.leading
        )
        self._writer: Writer | None = None
        self._writing: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        jobs = [self.machine.run(self._tell_applied), self._upkeep.maintain()]
        if self.machine.restoring:
            jobs.append(self._upkeep.restore())
        self._tasks = [asyncio.create_task(job) for job in jobs]
        for task in self._tasks:
            task.add_done_callback(self._look_why)
        if self.state.leads:
            self._begin_leading(quiet=False)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._upkeep.end()
        self._stop_leading(Unknown("the replica is being closed"))
        async with self._order, self.machine.turn, self._upkeep.turn:
            await self.journal.close()
            self.machine.shard.close()
            os.close(self._held)

    def _look_why(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            _LOG.error("%s cannot go on", self.me, exc_info=error)
            self.journal.failed.set()

    # What control says

    async def promise(self, epoch: int) -> Promise:
        """Takes nothing more of epochs before it. Raises Fenced."""
        async with self._order:
            await self._become(self.state.promise(epoch))
            await self.journal.sync(self.journal.last.seq)
            last = self.journal.last
            return Promise(epoch, last.epoch, last.seq, self.state.lost)

    async def lead(self, assignment: Assignment) -> None:
        """Raises Fenced, or ValueError where this replica is not among the members."""
        async with self._order:
            await self._become(self.state.lead(self.me, assignment))
            if self.leading is not None and self.leading.begun:
                self.leading.feed(assignment.learners)

    async def follow(self, assignment: Assignment) -> None:
        """Raises Fenced."""
        async with self._order:
            await self._become(self.state.follow(self.me, assignment))

    # What the leader says

    async def append(self, request: Append) -> Appended:
        """Raises Fenced."""
        if request.term == self.state.promised and request.leader == self.state.leader and request.is_beat:
            self.state.hear(request.term, request.leader)
            return Appended(0)  # while an append waits for the disk
        async with self._order:
            await self._become(self.state.hear(request.term, request.leader))
            self.machine.hear(request.committed)
            if request.copy or self._upkeep.needs_copy:
                self._upkeep.mend(request.leader)
            if request.copy:
                return Appended(self.journal.last.seq, False, "fetches a copy of the leader's files")
            try:
                answer = await self.journal.take(request)
            except OSError as error:
                return Appended(self.journal.committed, False, f"cannot write its log: {error.strerror or error}")
        if isinstance(answer, Unmatched):
            return Appended(answer.after, False)
        try:
            await self.journal.sync(answer.matched)
        except OSError as error:
            return Appended(self.journal.committed, False, f"cannot write its log: {error.strerror or error}")
        if self.state.promised != request.term:
            raise Fenced(epoch_of(self.state.promised))
        self.machine.commit(min(request.committed, answer.matched))
        if self.state.lost and 0 < request.committed <= answer.matched:
            async with self._order:
                await self._become(self.state.whole())
        return Appended(answer.matched)

    # Writes

    async def write(self, write: Write, acknowledge: Acknowledgement, seconds: float) -> int:
        """The sequence number of its entry, once it is acknowledged.

        Raises NotLeader, Moved, Refused and NoQuorum: nothing was written; and Unknown.
        """
        if self.state.leads and not self.state.serves:
            raise Moved
        return await self._put(write, acknowledge, seconds)

    async def _put(self, write: Write, acknowledge: Acknowledgement, seconds: float) -> int:
        leading, writer = self.leading, self._writer
        if leading is None or writer is None:
            raise self._no_leader()
        leading.check()
        try:
            async with asyncio.timeout(seconds):
                seq = await writer.write(write)
                if acknowledge != "one":
                    await self.machine.shown(seq)
                await leading.acknowledged(seq, acknowledge)
                return seq
        except TimeoutError:
            if writer.withdraw(write):
                raise NoQuorum(f"not written within {seconds:g} s: {leading.lacks()}") from None
            raise Unknown(f"written, but not acknowledged within {seconds:g} s: {leading.lacks()}") from None

    def leader(self) -> Leading:
        """Raises NotLeader."""
        if self.leading is None:
            raise self._no_leader()
        return self.leading

    def _no_leader(self) -> Exception:
        if self.state.leads:
            return Refused(_FULL)
        return NotLeader(self.state.epoch, self.state.leader)

    async def _become(self, state: HardState) -> None:
        """Durable first. The caller has the order."""
        before = self.state
        if state == before:
            return
        await self.journal.save(state)
        self.state = state
        if before.leads and (not state.leads or state.term != before.term):
            self._stop_leading(NotLeader(state.epoch, state.leader))
        if self.leading is not None:
            self._fill()
        if state.leads and self.leading is None:
            follows_itself = before.leads and before.epoch + 1 == state.epoch
            self._begin_leading(quiet=state.epoch > 1 and not follows_itself and before.epoch != state.epoch)

    def _begin_leading(self, quiet: bool) -> None:
        leading = Leading(self.me, self.state, self.journal, self._peers, self._commit, self._lose_disk, quiet=quiet)
        writer = Writer(lambda items: self._append(leading, items), self._settle)
        self.leading, self._writer = leading, writer

        async def begin() -> Entry:
            return (await self._append(leading, [(Kind.LEAD, b"")]))[0]

        self._writing = [asyncio.create_task(leading.begin(begin)), asyncio.create_task(writer.run())]
        self._fill()

    def _fill(self) -> None:
        """Rows come from an earlier layout as long as the assignment says so."""
        fill = self.state.move.fill
        if fill is None:
            if self.filler is not None:
                self.filler.end()
            self.filler = None
        elif self.filler is not None:
            self.filler.fill = fill
        else:
            self.filler = Filler(fill, self.machine, self._peers, self._settle, self._pour, self._filled)

    async def _pour(self, write: Write, seconds: float) -> int:
        """Of the rows of an earlier layout; raises Moved once clients may write."""
        if self.state.serves:
            raise Moved
        return await self._put(write, "quorum", seconds)

    async def _filled(self, attempt: int) -> None:
        """All that the shard will get is in its log, and final."""
        async with self._order:
            if self.state.leads and self.state.filled != attempt:
                await self._become(replace(self.state, filled=attempt, position=self.journal.last.seq))

    def _commit(self, seq: int) -> None:
        self.machine.hear(seq)
        self.machine.commit(seq)

    def _stop_leading(self, error: Exception) -> None:
        if self.leading is None or self._writer is None:
            return
        self.leading.end(error)
        self._writer.end(error)
        for task in self._writing:
            task.cancel()
        if self.filler is not None:
            self.filler.end()
        self.leading = self._writer = self.filler = None

    def _lose_disk(self) -> None:
        """Entries that others may have are gone from a full disk: what is written instead must differ from them."""
        self._stop_leading(Refused(_FULL))
        self._tasks.append(asyncio.create_task(self._lead_again()))

    async def _lead_again(self) -> None:
        while self.state.leads and self.leading is None:
            async with self._order:
                try:
                    await self._become(self.state.begin_again(False))
                except OSError:
                    pass
                else:
                    return
            await asyncio.sleep(RETRY_SECONDS)

    async def _append(self, leading: Leading, items: Sequence[Item]) -> list[Entry]:
        async def append() -> list[Entry]:
            async with self._order:
                if self.leading is not leading:
                    raise NotLeader(self.state.epoch, self.state.leader)
                if items[0][0] is not Kind.LEAD:
                    self._check_open()
                entries = await self.journal.write(leading.state.term, items)
                leading.advance(entries[-1].seq)
                return entries

        task = asyncio.create_task(append())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
        return await asyncio.shield(task)

    def _check_open(self) -> None:
        if self.state.move.closed:
            raise Moved

    async def _settle(self) -> int:
        self._check_open()
        seq = self.journal.last.seq
        await self.machine.applied.reach(seq)
        return seq

    def _tell_applied(self, seq: int) -> None:
        if self._writer is not None:
            self._writer.applied(seq)

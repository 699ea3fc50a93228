"""One replica of a shard, apart from how it is called: what it takes, orders, keeps, applies and says.

It owns the replica's directory: the log, the shard's files, what it promised. It never decides who leads. A crash at
any line leaves a log whose written end may be cut, and small files old or new; it starts again as what it was: who led
leads on in a new term, who followed waits for its leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.log import Log, LogCut
from actors.vectors.manifest import has_receipt
from actors.vectors.replication import install
from actors.vectors.replication.accept import Unmatched
from actors.vectors.replication.copying import Copies, fetch
from actors.vectors.replication.disk import Mark, load_state, lock, save_state
from actors.vectors.replication.errors import Degraded, Fenced, Mismatch, NoQuorum, NotLeader, Refused, Unknown
from actors.vectors.replication.hard_state import LOST, HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.leading import RETRY_SECONDS, Leading
from actors.vectors.replication.messages import Append, Appended, Peer
from actors.vectors.replication.term import epoch_of
from actors.vectors.replication.watermark import Watermark
from actors.vectors.replication.writer import Item, Write, Writer
from actors.vectors.shard import Shard
from actors.vectors.snapshot import SnapshotError
from actors.vectors.snapshot_shard import BEGINNING, restore
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.replica import Assignment, Promise, Standing

Result = TypeVar("Result")
_LOG = logging.getLogger(__name__)
KEPT_LOG_BYTES = 256 << 20
"""So much of the log is kept for members that lag; who lags more fetches a copy."""
_FULL = "the disk of the shard's leader is full"
RESTORE_SECONDS = 5.0
"""Between two attempts at a snapshot that cannot be read."""
SHOWN_SECONDS = 0.5
"""How long an acknowledgement waits for the rows to be seen."""
IDLE_SECONDS = 0.25
"""Between two looks at whether the shard has something to do in the background."""


class ReplicaCore:
    """Of one event loop. `peers` gives the way to another replica by its name."""

    def __init__(
        self, me: str, directory: Path, spec: CollectionSpec, peers: Callable[[str], Peer], held: int, state: HardState,
        journal: Journal, shard: Shard,
    ) -> None:  # fmt: skip
        self.me, self.state, self.journal, self.shard, self.spec = me, state, journal, shard, spec
        self.applied = Watermark(shard.applied.seq)
        self.floor = journal.committed
        """What was final when it opened: it answers nothing with less."""
        self.copies = Copies(lambda: self.shard, lambda: self.lacks, directory / install.SHARD, self.background)
        self.leading: Leading | None = None
        self._directory, self._peers, self._held = directory, peers, held
        self._committed = Watermark(journal.committed)
        self._order = asyncio.Lock()  # of whatever changes the log or the state
        self._shard_turn = asyncio.Lock()  # of what changes the shard: applying, and putting another in its place
        self._maintenance_turn = asyncio.Lock()
        self._applier, self._maintainer = ThreadPoolExecutor(1, "apply"), ThreadPoolExecutor(1, "maintain")
        self._gap: tuple[str, ...] = ()
        self._restoring = spec.restore is not None and not has_receipt(directory / install.SHARD)
        self._unrestorable = False
        if self._restoring:
            self._gap = ("its rows are being restored from a snapshot",)
        self._writer: Writer | None = None
        self._writing: list[asyncio.Task[None]] = []
        self._copying: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def open(me: str, directory: Path, spec: CollectionSpec, peers: Callable[[str], Peer]) -> ReplicaCore:
        """Reads the directory, or begins it. Call `start` then. Raises BlockingIOError where another process has it."""
        held = lock(directory)
        mark, log = Mark(directory), Log.open(directory / "log")
        install.put_in_place(directory, log, mark)
        shard = Shard.open(directory / install.SHARD, spec)
        lost = log.lost > 0 or log.last < mark.synced
        install.begin_behind(log, mark, shard.receipt) if shard.receipt.seq > log.last.seq else None
        if lost:
            mark.note(synced=log.last)
        before = load_state(directory)
        state = before.begin_again(lost)
        if state != before:
            save_state(directory, state)
        committed = max(min(mark.committed, log.last.seq), shard.receipt.seq)
        return ReplicaCore(me, directory, spec, peers, held, state, Journal(directory, log, mark, committed), shard)

    def start(self) -> None:
        jobs = (self._apply(), self._maintain(), *([self._restore()] if self._restoring else []))
        self._tasks = [asyncio.create_task(job) for job in jobs]
        for task in self._tasks:
            task.add_done_callback(self._look_why)
        if self.state.leads:
            self._begin_leading(quiet=False)

    async def close(self) -> None:
        for task in (*self._tasks, *([self._copying] if self._copying else [])):
            task.cancel()
        self._stop_leading(Unknown("the replica is being closed"))
        async with self._order, self._shard_turn, self._maintenance_turn:
            await self.journal.close()
            self.shard.close()
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
            if request.copy or self._needs_copy:
                self.mend(request.leader)
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
        self._commit(min(request.committed, answer.matched))
        if self.state.lost and 0 < request.committed <= answer.matched:
            async with self._order:
                await self._become(self.state.whole())
        return Appended(answer.matched)

    def mend(self, source: str) -> None:
        """Begins to fetch a copy of the files of `source`, unless it does already."""
        if self._copying is None or self._copying.done():
            self._copying = asyncio.create_task(self._copy(source))

    # Writes

    async def write(self, write: Write, acknowledge: Acknowledgement, seconds: float) -> int:
        """The sequence number of its entry, once it is acknowledged.

        Raises NotLeader, Refused and NoQuorum: nothing was written; and Unknown.
        """
        leading, writer = self.leading, self._writer
        if leading is None or writer is None:
            raise self._no_leader()
        leading.check()
        try:
            async with asyncio.timeout(seconds):
                seq = await writer.write(write)
                if acknowledge != "one":
                    await self._shown(seq)
                await leading.acknowledged(seq, acknowledge)
                return seq
        except TimeoutError:
            if writer.withdraw(write):
                raise NoQuorum(f"not written within {seconds:g} s: {leading.lacks()}") from None
            raise Unknown(f"written, but not acknowledged within {seconds:g} s: {leading.lacks()}") from None

    async def _shown(self, seq: int) -> None:
        """Whoever is told of a write and then reads here should see it; a late one is acknowledged all the same."""
        if not self.lacks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOWN_SECONDS):
                    await self.applied.reach(seq)

    def leader(self) -> Leading:
        """Raises NotLeader."""
        if self.leading is None:
            raise self._no_leader()
        return self.leading

    def _no_leader(self) -> Exception:
        if self.state.leads:
            return Refused(_FULL)
        return NotLeader(self.state.epoch, self.state.leader)

    def standing(self, generation: int) -> Standing:
        """As control sees it."""
        state, leading = self.state, self.leading
        figures = self.shard.figures()
        return Standing(
            pid=os.getpid(),
            generation=generation,
            promised=epoch_of(state.promised),
            epoch=state.epoch,
            leads=state.leads,
            committed_epoch=epoch_of(self.journal.term_at(self.journal.committed)),
            last_seq=self.journal.last.seq,
            reached=not state.leads or (leading is not None and leading.reached),
            building=figures.outdated,
            degraded=(*self.shard.degraded, *self._gap, *((LOST,) if state.lost else ())),
        )

    @property
    def lacks(self) -> str:
        """Why it answers nothing from its data, for people; "" where it can."""
        return "; ".join((*self.shard.degraded, *self._gap))

    @property
    def _needs_copy(self) -> bool:
        """Of another replica's files: what it lacks does not come from a snapshot just now."""
        return bool(self.lacks) and (not self._restoring or self._unrestorable)

    async def background(self, job: Callable[[], Result]) -> Result:
        """In the thread that maintains the shard."""
        return await asyncio.get_running_loop().run_in_executor(self._maintainer, job)

    async def retune(self, spec: CollectionSpec) -> None:
        self.spec = spec
        await self.background(lambda: self.shard.retune(spec))

    async def _become(self, state: HardState) -> None:
        """Durable first. The caller has the order."""
        before = self.state
        if state == before:
            return
        await self.journal.save(state)
        self.state = state
        if before.leads and (not state.leads or state.term != before.term):
            self._stop_leading(NotLeader(state.epoch, state.leader))
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

    def _stop_leading(self, error: Exception) -> None:
        if self.leading is None or self._writer is None:
            return
        self.leading.end(error)
        self._writer.end(error)
        for task in self._writing:
            task.cancel()
        self.leading = self._writer = None

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
                entries = await self.journal.write(leading.state.term, items)
                leading.advance(entries[-1].seq)
                return entries

        task = asyncio.create_task(append())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
        return await asyncio.shield(task)

    async def _settle(self) -> int:
        seq = self.journal.last.seq
        await self.applied.reach(seq)
        return seq

    def _commit(self, seq: int) -> None:
        if seq > self.journal.committed:
            self.journal.commit(seq)
            self._committed.rise(self.journal.committed)

    async def _apply(self) -> None:
        while True:
            await self._committed.reach(self.applied.value + 1)
            if self._restoring:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            async with self._shard_turn:
                try:
                    _, entries = await self.journal.behind(self.applied.value)
                except LogCut as error:
                    self._gap = (f"the shard is at {self.applied.value}, and {error}",)
                    entries = []
                final = [entry for entry in entries if entry.seq <= self.journal.committed]
                if final:
                    await self._run(self._applier, lambda: self.shard.apply(final))  # noqa: B023
                    self.applied.rise(final[-1].seq)
            if not final:
                await asyncio.sleep(IDLE_SECONDS)
            if self._writer is not None:
                self._writer.applied(self.applied.value)

    async def _maintain(self) -> None:
        receipt, source = 0, 0
        while True:
            async with self._maintenance_turn:
                try:
                    more = not self._restoring and await self.background(lambda: self.shard.maintain())
                except OSError as error:
                    _LOG.warning("%s cannot maintain its shard: %s", self.me, error)
                    more = False
                if self.shard.receipt.seq > receipt:
                    receipt = self.shard.receipt.seq
                    await self._cut(receipt)
            others = [one for one in self.state.members if one != self.me]
            if self._needs_copy and self.state.leads and others:
                self.mend(others[source % len(others)])
                source += 1
            if not more:
                await asyncio.sleep(IDLE_SECONDS)

    async def _cut(self, receipt: int) -> None:
        waits = self.leading is not None and self.journal.nbytes < KEPT_LOG_BYTES
        kept = min(receipt, self.leading.everywhere) if waits and self.leading is not None else receipt
        await self.journal.cut_before(kept + 1)

    async def _copy(self, source: str) -> None:
        try:
            partial, position = await fetch(self._peers(source), self._directory, self.background)
        except (ConnectionError, Degraded, Mismatch, OSError) as error:
            _LOG.warning("%s could not fetch a copy of %s: %s", self.me, source, error)
            return
        async with self._order, self._shard_turn, self._maintenance_turn:
            least = self.journal.first - 1
            if position.seq < least or (self.state.leads and position.seq > self.journal.last.seq):
                return  # it does not reach this log; another one may
            await self._install(partial, position)

    async def _restore(self) -> None:
        """Until the shard has the rows that its collection begins with, from the snapshot or another replica."""
        while self._restoring:
            partial = install.begin(self._directory, install.RESTORED)
            try:
                await self._run(None, lambda: restore(self.spec, self.me, partial))  # noqa: B023
            except (SnapshotError, OSError) as error:
                _LOG.warning("%s cannot be restored: %s", self.me, error)
                self._unrestorable = True
                if self._restoring:
                    self._gap = (f"its rows cannot be restored: {error}",)
                await asyncio.sleep(RESTORE_SECONDS)
                continue
            async with self._order, self._shard_turn, self._maintenance_turn:
                if self._restoring:
                    await self._install(partial, BEGINNING)

    async def _install(self, partial: Path, position: Position) -> None:
        """In the place of the shard that it has. The caller has all turns."""
        before, directory = self.shard, self._directory
        await self.background(lambda: install.complete(directory, partial, position))
        await self.journal.change(lambda log, mark: install.put_in_place(directory, log, mark))
        self.shard = await self.background(lambda: Shard.open(directory / install.SHARD, self.spec))
        before.close()
        self._gap, self._restoring = (), False
        self.floor = max(self.floor, self.applied.value)
        self.applied.fall(self.shard.applied.seq)
        self._committed.rise(self.journal.committed)

    async def _run(self, executor: Any, job: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(executor, job)

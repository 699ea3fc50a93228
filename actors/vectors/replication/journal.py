"""The log of a replica as its event loop sees it: everything that touches the disk happens in one thread of its own.

What is written together is synced together: who asks while a sync runs shares the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.log import Log, LogFailed
from actors.vectors.replication.accept import Taken, Unmatched, accept
from actors.vectors.replication.disk import Mark, save_state
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.messages import Append
from actors.vectors.replication.recent import Recent

Result = TypeVar("Result")
READ_BYTES = 4 << 20


class Journal:
    """`last` is what is written, `synced` up to where it is on the disk, `committed` up to where it is final.

    Once it has `failed` nobody knows what is on the disk: its process has to end and begin again.
    """

    def __init__(self, directory: Path, log: Log, mark: Mark, committed: int) -> None:
        self.last = log.last
        self.synced = log.last.seq
        self.committed = committed
        self.recent = Recent()
        self.failed = asyncio.Event()
        self._directory, self._log, self._mark = directory, log, mark
        self._thread = ThreadPoolExecutor(1, "log")
        self._syncing: asyncio.Task[None] | None = None

    @property
    def first(self) -> int:
        return self._log.first

    @property
    def nbytes(self) -> int:
        return self._log.nbytes

    def term_at(self, seq: int) -> int:
        """Of an entry that the log still keeps, or of the one before."""
        entry = self.recent.get(seq)
        return entry.epoch if entry is not None else self._log.epoch_at(seq) if seq else 0

    async def save(self, state: HardState) -> None:
        """Durable when it returns."""
        await self._run(lambda: save_state(self._directory, state))

    async def write(self, term: int, items: Sequence[tuple[Kind, bytes]]) -> list[Entry]:
        """As the next entries; not on the disk yet. Raises OSError: nothing of it is written."""

        def write() -> list[Entry]:
            seq = self._log.last.seq + 1
            entries = [Entry(term, seq + number, kind, body) for number, (kind, body) in enumerate(items)]
            self._log.append(entries)
            return entries

        entries = await self._run(write)
        self._written(entries)
        return entries

    async def take(self, request: Append) -> Taken | Unmatched:
        """What a leader sent, where it fits; not on the disk yet. Raises OSError: nothing of it is written."""
        committed = self.committed

        def take() -> Taken | Unmatched:
            answer = accept(request.previous, request.entries, self._log.last, committed, self._log.epoch_at)
            if isinstance(answer, Taken):
                if answer.cut is not None:
                    self._cut_after(answer.cut)
                self._log.append(answer.fresh)
            return answer

        answer = await self._run(take)
        if isinstance(answer, Taken):
            if answer.cut is not None:
                self.recent.cut_after(answer.cut)
                self.synced = min(self.synced, answer.cut)
            self._written(answer.fresh)
        return answer

    async def sync(self, seq: int) -> None:
        """Returns when everything up to `seq` is on the disk. Raises OSError: what was not is dropped again."""
        while self.synced < seq <= self.last.seq:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.create_task(self._sync())
            await asyncio.shield(self._syncing)
        if seq > self.last.seq:
            raise OSError(f"entry {seq} was dropped again before it was on the disk")

    async def behind(self, seq: int) -> tuple[Position, list[Entry]]:
        """The position of entry `seq`, and those that follow, as many as go into one message. Raises LogCut."""
        if (entry := self.recent.get(seq)) is not None:
            return Position(entry.epoch, seq), self.recent.after(seq, READ_BYTES)

        def read() -> tuple[Position, list[Entry]]:
            last = self._log.last
            previous = last if seq == last.seq else Position(self._log.epoch_at(seq) if seq else 0, seq)
            return previous, self._log.read(seq, READ_BYTES) if seq < last.seq else []

        return await self._run(read)

    def commit(self, seq: int) -> None:
        """Everything up to `seq` is final."""
        self.committed = max(self.committed, min(seq, self.last.seq))
        self._mark.note(committed=self.committed)

    async def cut_before(self, seq: int) -> None:
        """Entries before it may go: a receipt covers them."""
        await self._run(lambda: self._log.cut_before(seq))

    async def change(self, job: Callable[[Log, Mark], object]) -> None:
        """Something else that changes the log as a whole."""
        await self._run(lambda: job(self._log, self._mark))
        if self._log.last != self.last:
            self.recent.clear()
            self.last, self.synced = self._log.last, self._log.last.seq
        self.committed = max(self.committed, self._log.first - 1)

    async def close(self) -> None:
        await self._run(self._log.close)
        self._mark.close()
        self._thread.shutdown()

    async def _sync(self) -> None:
        def sync() -> Position:
            synced = self._log.sync()
            self._mark.note(synced=synced)
            return synced

        try:
            synced = await self._run(sync)
        except LogFailed:
            self.failed.set()
            raise
        except OSError:
            self.last = self._log.last  # a full disk: what was not on it is dropped again
            self.recent.cut_after(self.last.seq)
            raise
        self.synced = min(synced.seq, self.last.seq)

    def _written(self, entries: Sequence[Entry]) -> None:
        if entries:
            self.last = Position(entries[-1].epoch, entries[-1].seq)
            self.recent.add(entries)

    def _cut_after(self, seq: int) -> None:
        term = self._log.epoch_at(seq) if seq else 0
        self._mark.note(synced=min(self._mark.synced, Position(term, seq)))
        self._log.cut_after(seq)

    async def _run(self, job: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

"""The one order of a shard's writes: taken as they come, made into entries, appended many at a time.

What depends on rows that are there (a change of some columns, a deletion by filter) is resolved into whole rows and ids
once every write before it is applied. Bodies that wait, or are not applied yet, are bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field

from actors.vectors.entry import Entry, Kind
from actors.vectors.replication.errors import Refused, Unknown

MOST_WAITING_BYTES = 64 << 20
APPEND_BYTES = 8 << 20
Item = tuple[Kind, bytes]
Resolve = Callable[[], Awaitable[Item | None]]


@dataclass(eq=False)
class Write:
    """`item` is an entry's, or makes one from the rows that are there; None where there is nothing to do.

    `touches` are the ids that decide what it becomes; None for any.
    """

    item: Item | Resolve
    size: int
    touches: frozenset[Hashable] | None = frozenset()
    seq: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """`append` puts entries into the log; `settle` returns when all that is in it is applied."""

    def __init__(
        self, append: Callable[[Sequence[Item]], Awaitable[list[Entry]]], settle: Callable[[], Awaitable[int]]
    ) -> None:
        self._append, self._settle = append, settle
        self._queue: deque[Write] = deque()
        self._news, self._eased = asyncio.Event(), asyncio.Event()
        self._waiting = 0
        self._ended: Exception | None = None
        self._unapplied: deque[tuple[int, int]] = deque()  # sequence number and bytes

    async def write(self, write: Write) -> int:
        """The sequence number of its entry, which is written, but not on the disk yet. Raises Refused."""
        while self._ended is None and self._waiting and self._waiting + write.size > MOST_WAITING_BYTES:
            self._eased.clear()
            await self._eased.wait()
        self._check()
        self._waiting += write.size
        self._queue.append(write)
        self._news.set()
        return await write.seq

    def withdraw(self, write: Write) -> bool:
        """Whether the write was still waiting; then it never happens."""
        if write not in self._queue:
            return False
        self._queue.remove(write)
        self._ease(write.size)
        return True

    def applied(self, seq: int) -> None:
        while self._unapplied and self._unapplied[0][0] <= seq:
            self._ease(self._unapplied.popleft()[1])

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            batch = self._take()
            if not batch:
                continue
            try:
                await self._write(batch)
            except asyncio.CancelledError:
                self._fail(batch, Unknown("another leader may have taken over while this was written"))
                raise
            except Exception as error:
                self._fail(batch, error)

    def end(self, error: Exception) -> None:
        """What waits is told why it was not written."""
        self._ended = error
        self._fail(list(self._queue), error)
        self._queue.clear()
        self._eased.set()

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _take(self) -> list[Write]:
        """The next ones that can go together: all ready, or all to be resolved with none depending on another."""
        batch: list[Write] = []
        touched: set[Hashable] = set()
        size = 0
        while self._queue:
            write = self._queue[0]
            if write.seq.done():  # nobody waits for it any more
                self._ease(self._queue.popleft().size)
                continue
            if batch and (callable(write.item) != callable(batch[0].item) or size + write.size > APPEND_BYTES):
                break
            if callable(write.item) and batch and (write.touches is None or batch[0].touches is None):
                break
            if not touched.isdisjoint(write.touches or ()):
                break
            touched.update(write.touches or ())
            size += write.size
            batch.append(self._queue.popleft())
        return batch

    async def _write(self, batch: list[Write]) -> None:
        """Takes those out of the batch that come to nothing."""
        settled = await self._settle() if callable(batch[0].item) else 0
        items = []
        for write in list(batch):
            item = await write.item() if callable(write.item) else write.item
            if item is None:
                batch.remove(write)
                self._ease(write.size)
                _answer(write, settled)
            else:
                items.append(item)
        if not items:
            return
        try:
            entries = await self._append(items)
        except OSError as error:
            raise Refused(f"the log cannot be written: {error.strerror or error}") from error
        for write, entry in zip(batch, entries, strict=True):
            self._unapplied.append((entry.seq, write.size))
            _answer(write, entry.seq)

    def _fail(self, batch: Sequence[Write], error: Exception) -> None:
        for write in batch:
            self._ease(write.size)
            if not write.seq.done():  # else nobody waits for it any more
                write.seq.set_exception(error)

    def _ease(self, size: int) -> None:
        self._waiting -= size
        self._eased.set()


def _answer(write: Write, seq: int) -> None:
    if not write.seq.done():
        write.seq.set_result(seq)

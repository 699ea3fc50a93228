"""What keeps a replica's shard whole and its log short, in the background: upkeep, copies, and its first rows.

It maintains the shard, cuts the log behind the shard's receipt, and gets what the shard lacks: from the snapshot that
its collection begins with, or a copy of another replica's files. It never takes an entry. A crash leaves files that are
thrown away, or a complete copy that is put in place when the replica starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from actors.vectors.entry import Position
from actors.vectors.replication import install
from actors.vectors.replication.copying import fetch
from actors.vectors.replication.errors import Degraded, Mismatch
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.leading import Leading
from actors.vectors.replication.messages import Peer
from actors.vectors.replication.state_machine import IDLE_SECONDS, StateMachine
from actors.vectors.rows import UnknownField
from actors.vectors.shard import Shard
from actors.vectors.snapshot import SnapshotError
from actors.vectors.snapshot_shard import BEGINNING, restore

KEPT_LOG_BYTES = 256 << 20
"""So much of the log is kept for members that lag; who lags more fetches a copy."""
RESTORE_SECONDS = 5.0
"""Between two attempts at a snapshot that cannot be read."""
_LOG = logging.getLogger(__name__)


class Upkeep:
    """`order` is that of whatever changes the log or the state; `state` and `leading` give the replica's of now."""

    def __init__(
        self, me: str, directory: Path, peers: Callable[[str], Peer], machine: StateMachine, journal: Journal,
        order: asyncio.Lock, state: Callable[[], HardState], leading: Callable[[], Leading | None],
    ) -> None:  # fmt: skip
        self.turn = asyncio.Lock()
        """Of maintaining the shard, and putting another in its place."""
        self._me, self._directory, self._peers = me, directory, peers
        self._machine, self._journal, self._order = machine, journal, order
        self._state, self._leading = state, leading
        self._unrestorable = False
        self._copying: asyncio.Task[None] | None = None

    @property
    def needs_copy(self) -> bool:
        """Of another replica's files: what the shard lacks does not come from a snapshot just now, or by being told."""
        return bool(self._machine.degraded) and (not self._machine.restoring or self._unrestorable)

    async def maintain(self) -> None:
        """Until it is cancelled."""
        machine, receipt, source = self._machine, 0, 0
        while True:
            async with self.turn:
                try:
                    more = not machine.restoring and await machine.background(lambda: machine.shard.maintain())
                except OSError as error:
                    _LOG.warning("%s cannot maintain its shard: %s", self._me, error)
                    more = False
                if machine.shard.receipt.seq > receipt:
                    receipt = machine.shard.receipt.seq
                    await self._cut(receipt)
            others = [one for one in self._state().members if one != self._me]
            if self.needs_copy and self._state().leads and others:
                self.mend(others[source % len(others)])
                source += 1
            if not more:
                await asyncio.sleep(IDLE_SECONDS)

    async def restore(self) -> None:
        """Until the shard has the rows that its collection begins with, from the snapshot or another replica."""
        machine = self._machine
        while machine.restoring:
            partial = install.begin(self._directory, install.RESTORED)
            try:
                await asyncio.to_thread(restore, machine.spec, self._me, partial)
            except (SnapshotError, OSError) as error:
                _LOG.warning("%s cannot be restored: %s", self._me, error)
                self._unrestorable = True
                if machine.restoring:
                    machine.gap = (f"its rows cannot be restored: {error}",)
                await asyncio.sleep(RESTORE_SECONDS)
                continue
            async with self._order, machine.turn, self.turn:
                if machine.restoring:
                    await self._install(partial, BEGINNING)

    def mend(self, source: str) -> None:
        """Begins to fetch a copy of the files of `source`, unless it does already."""
        if self._copying is None or self._copying.done():
            self._copying = asyncio.create_task(self._copy(source))

    def end(self) -> None:
        if self._copying is not None:
            self._copying.cancel()

    async def _cut(self, receipt: int) -> None:
        if self._state().move.feeds:
            return
        leading = self._leading()
        waits = leading is not None and self._journal.nbytes < KEPT_LOG_BYTES
        kept = min(receipt, leading.everywhere) if waits and leading is not None else receipt
        await self._journal.cut_before(kept + 1)

    async def _copy(self, source: str) -> None:
        try:
            partial, position = await fetch(self._peers(source), self._directory, self._machine.background)
            async with self._order, self._machine.turn, self.turn:
                least = self._journal.first - 1
                if position.seq < least or (self._state().leads and position.seq > self._journal.last.seq):
                    return  # it does not reach this log; another one may
                await self._install(partial, position)
        except (ConnectionError, Degraded, Mismatch, OSError) as error:
            _LOG.warning("%s could not take a copy of %s: %s", self._me, source, error)

    async def _install(self, partial: Path, position: Position) -> None:
        """In the place of the shard that it has. The caller has all turns."""
        machine, directory = self._machine, self._directory
        await machine.background(lambda: install.complete(directory, partial, position))
        try:
            await self._journal.change(lambda log, mark: install.put_in_place(directory, log, mark))
            machine.replace(await machine.background(lambda: Shard.open(directory / install.SHARD, machine.spec)))
        except (OSError, UnknownField):
            self._journal.failed.set()  # half of it may be in place: a new process puts it there whole
            raise

"""The write-ahead log of one replica of a shard: what was acknowledged is here before anybody is told so.

Numbered files in a directory, each of about `FILE_BYTES`. Methods may be called from several threads. An append is in
the page cache when it returns, on the disk after the next `sync`; several appends share one.

A crash leaves a tail that was not synced, whole, cut short or damaged: `open` cuts it at the first entry that is not
valid, or does not follow on, and says so in `damage`. `lost` counts valid entries behind that place: where it is not 0
an acknowledged entry may be gone, and the replica must catch up from another. After a failed fsync nobody knows what is
on the disk, so the log refuses everything until it is opened again; only a full disk is taken back instead.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.durable import sync
from actors.vectors.entry import Entry, Position
from actors.vectors.framing import Head
from actors.vectors.log_file import NAME, LogDamaged, LogFile
from actors.vectors.log_recovery import Recovered, recover

FILE_BYTES = 64 << 20
READ_BYTES = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class LogCut(Exception):
    """Entries were asked for that the log does not keep any more: a snapshot must bring what they did."""


class LogFailed(OSError):
    """The log could not be written to the disk, and takes nothing more until it is opened again."""


class Log:
    """`damage` says what `open` cut off ("" for nothing), `lost` how many valid entries lay behind the damage."""

    def __init__(self, directory: Path, found: Recovered) -> None:
        self.directory, self.damage, self.lost = directory, found.damage, found.lost
        self._files = list(found.files)
        self._failed: str | None = None
        self._state, self._syncing = threading.RLock(), threading.Lock()

    @staticmethod
    def open(directory: Path) -> Log:
        """As `recover` finds it. Raises OSError where a file cannot be read or cut at all."""
        return Log(directory, recover(directory))

    @property
    def first(self) -> int:
        """The first number that is still kept; one more than the last where there is none."""
        return self._files[0].first

    @property
    def last(self) -> Position:
        """Of the last entry; (0, 0) when there never was one."""
        return self._files[-1].last

    @property
    def nbytes(self) -> int:
        """On the disk."""
        with self._state:
            return sum(file.size for file in self._files)

    def append(self, entries: Sequence[Entry]) -> None:
        """Raises ValueError where they do not follow on, OSError where the disk is full: the log is then as it was."""
        with self._state:
            self._check_usable()
            before = self.last
            for entry in entries:
                if entry.seq != before.seq + 1 or entry.epoch < before.epoch:
                    found = f"entry {entry.seq} of epoch {entry.epoch} behind {before.seq} of epoch {before.epoch}"
                    raise ValueError(f"{found}: expected {before.seq + 1}, of epoch {before.epoch} or a later one")
                before = Position(entry.epoch, entry.seq)
            if self._files[-1].size >= FILE_BYTES:
                self._begin_file(Head(self.last, False))
            try:
                self._files[-1].append(entries)
            except LogDamaged as error:
                self._failed = str(error)
                raise

    def sync(self) -> Position:
        """Up to which entry all is on the disk: what was appended before, unless a sync of another thread's failed.

        Where the disk is full what was not on it is dropped again, and OSError raised. Any other OSError is a
        LogFailed: nobody can know any more what is on the disk.
        """
        with self._syncing:
            with self._state:
                self._check_usable()
                files, last = [file for file in self._files if file.synced < file.size], self.last
            try:
                for file in files:
                    file.sync()
                return last
            except OSError as error:
                with self._state:
                    if error.errno not in _FULL:
                        raise self._fail(error) from error
                    self._guarded(self._take_back)
                raise

    def read(self, after: int, most_bytes: int = READ_BYTES) -> list[Entry]:
        """Entries with a greater number than `after`, in order, as many as fit, at least one if there is one.

        Raises LogCut where the next one is not kept any more, LogDamaged where it is not what was written.
        """
        with self._state:
            self._check_kept(after)
            for file in self._files:
                if file.last.seq > after:
                    return file.entries(after, most_bytes)
            return []

    def epoch_at(self, seq: int) -> int:
        """Of entry `seq`, which may be the one before the first that is kept. Raises LogCut, and ValueError where
        there is no such entry yet.
        """
        with self._state:
            self._check_kept(seq)
            for file in self._files:
                if file.last.seq >= seq:
                    return file.epoch_at(seq)
            raise ValueError(f"entry {seq} is not written yet: the last one is {self.last.seq}")

    def cut_after(self, seq: int) -> None:
        """Drops `seq` + 1 and all that follow; durable when it returns."""
        with self._syncing, self._state:
            self._check_usable()
            self._check_kept(seq)
            self._guarded(lambda: self._cut_after(seq))

    def cut_before(self, seq: int) -> None:
        """Drops files that have only entries before `seq`, the oldest first."""
        with self._syncing, self._state:
            while len(self._files) > 1 and self._files[0].last.seq < seq:
                self._files.pop(0).remove()

    def reset(self, position: Position) -> None:
        """Drops everything: the next entry is `position.seq` + 1."""
        with self._syncing, self._state:
            self._check_usable()
            self._begin_file(Head(position, True))
            while len(self._files) > 1:
                self._files.pop(0).remove()

    def close(self) -> None:
        with self._syncing, self._state:
            for file in self._files:
                os.close(file.descriptor)
            self._failed = "the log is closed"

    def _begin_file(self, head: Head) -> None:
        number = int(self._files[-1].path.stem) + 1
        self._files.append(LogFile.create(self.directory / NAME.format(number), head))

    def _cut_after(self, seq: int) -> None:
        while self._files[-1].head.before.seq > seq or (
            self._files[-1].head.before.seq == seq and len(self._files) > 1
        ):
            self._files.pop().remove()
        sync(self.directory)
        if self._files[-1].last.seq > seq:
            self._files[-1].cut_after(seq)

    def _take_back(self) -> None:
        first = next(file for file in self._files if file.synced < file.size)
        self._cut_after(first.synced_seq)

    def _guarded(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            raise self._fail(error) from error

    def _fail(self, error: OSError) -> LogFailed:
        self._failed = f"the log in {self.directory.name} could not be written to the disk ({error.strerror})"
        return LogFailed(error.errno, f"{self._failed}: it must be opened again")

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise LogFailed(errno.EIO, f"{self._failed}: it must be opened again")

    def _check_kept(self, seq: int) -> None:
        if seq < self.first - 1:
            raise LogCut(f"entry {seq} was cut: the log begins with entry {self.first}")

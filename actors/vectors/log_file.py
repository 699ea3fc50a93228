"""One file of a shard's log: frames one after the other behind a head. `Log` decides when there is another.

A crash leaves frames that were not synced cut short or missing; `open` says where the valid ones end.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.durable import sync
from actors.vectors.entry import Entry, Position
from actors.vectors.framing import HEAD_BYTES, Head, entry_of, frame_at, frame_bytes, frames, head_bytes, read_head

NAME = "{:012}.log"
"""Of the file with that number."""
_MOST_PARTS = 1_000
"""writev takes no more than IOV_MAX buffers, 1024 on Linux."""


class LogDamaged(OSError):
    """An entry that was valid when the log was opened cannot be read any more."""


@dataclass
class LogFile:
    """`ends[i]` is where the frame of entry `head.before.seq + 1 + i` ends. `epochs` are the first entries of each
    epoch in the file. `synced` bytes are known to be on the disk.
    """

    path: Path
    descriptor: int
    head: Head
    ends: array[int] = field(default_factory=lambda: array("Q"))
    epochs: list[Position] = field(default_factory=list)
    synced: int = HEAD_BYTES

    @property
    def first(self) -> int:
        return self.head.before.seq + 1

    @property
    def last(self) -> Position:
        if not self.ends:
            return self.head.before
        return Position(self.epochs[-1].epoch, self.head.before.seq + len(self.ends))

    @property
    def size(self) -> int:
        return self.ends[-1] if self.ends else HEAD_BYTES

    @staticmethod
    def create(path: Path, head: Head) -> LogFile:
        """Durable when it returns. On OSError there is no file."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            _write(descriptor, [head_bytes(head)])
            os.fsync(descriptor)
            sync(path.parent)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return LogFile(path, descriptor, head)

    @staticmethod
    def open(path: Path, data: bytes) -> LogFile | None:
        """The file with its valid frames, up to the first damaged place; `data` is all that it holds. None where its
        head is damaged.
        """
        head = read_head(data)
        if head is None:
            return None
        file = LogFile(path, os.open(path, os.O_RDWR | os.O_APPEND), head)
        for frame in frames(memoryview(data), HEAD_BYTES):
            if frame.seq != file.last.seq + 1 or frame.epoch < file.last.epoch:
                break
            file._note(frame.epoch, frame.seq, frame.end)
        file.synced = file.size
        return file

    def _note(self, epoch: int, seq: int, end: int) -> None:
        if not self.epochs or self.epochs[-1].epoch != epoch:
            self.epochs.append(Position(epoch, seq))
        self.ends.append(end)

    def append(self, entries: Sequence[Entry]) -> None:
        """Raises OSError, and has then nothing of `entries`, unless the file cannot even be cut: then LogDamaged."""
        parts = [part for entry in entries for part in frame_bytes(entry)]
        before = self.size
        try:
            for start in range(0, len(parts), _MOST_PARTS):
                _write(self.descriptor, parts[start : start + _MOST_PARTS])
        except OSError:
            try:
                os.ftruncate(self.descriptor, before)
            except OSError as error:
                raise LogDamaged(error.errno, f"a half-written entry cannot be cut off {self.path.name}") from error
            raise
        end = before
        for entry, begin, body in zip(entries, parts[::2], parts[1::2], strict=True):
            end += len(begin) + len(body)
            self._note(entry.epoch, entry.seq, end)

    def entries(self, after: int, most_bytes: int) -> list[Entry]:
        """Those with a greater number than `after`, at least one if there is one, together at most `most_bytes`."""
        skipped = max(0, after - self.head.before.seq)
        if skipped >= len(self.ends):
            return []
        start = self.ends[skipped - 1] if skipped else HEAD_BYTES
        until = max(skipped + 1, bisect.bisect_right(self.ends, start + most_bytes))
        data = memoryview(os.pread(self.descriptor, self.ends[until - 1] - start, start))
        found = []
        at = 0
        for seq in range(self.first + skipped, self.first + until):
            frame = frame_at(data, at)
            if frame is None or frame.seq != seq:
                raise LogDamaged(f"entry {seq} in {self.path.name} at byte {start + at} is no longer what was written")
            found.append(entry_of(data, frame))
            at = frame.end
        return found

    def epoch_at(self, seq: int) -> int:
        if seq == self.head.before.seq:
            return self.head.before.epoch
        return self.epochs[bisect.bisect_right(self.epochs, seq, key=lambda one: one.seq) - 1].epoch

    def cut_after(self, seq: int) -> None:
        """Drops what follows `seq`; durable when it returns."""
        kept = seq - self.head.before.seq
        os.ftruncate(self.descriptor, self.ends[kept - 1] if kept else HEAD_BYTES)
        del self.ends[kept:]
        self.epochs = [one for one in self.epochs if one.seq <= seq]
        self.sync()

    @property
    def synced_seq(self) -> int:
        """The last entry that is known to be on the disk."""
        return self.head.before.seq + bisect.bisect_right(self.ends, self.synced)

    def sync(self) -> None:
        size = self.size
        os.fsync(self.descriptor)
        self.synced = size

    def remove(self) -> None:
        self.path.unlink()
        os.close(self.descriptor)


def _write(descriptor: int, parts: list[bytes]) -> None:
    """All of `parts`, however little the system takes at once."""
    left = os.writev(descriptor, parts)
    for part in parts:
        if left >= len(part):
            left -= len(part)
            continue
        rest = memoryview(part)[left:]
        left = 0
        while rest:
            rest = rest[os.write(descriptor, rest) :]

"""The small files of a replica beside its log and its shard. A crash leaves the old content or the new one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import threading
import zlib
from pathlib import Path

from actors.durable import write_atomically
from actors.vectors.entry import Position
from actors.vectors.replication.hard_state import HardState

_STATE, _MARK, _LOCK = "state.json", "mark", "lock"
_FORM = struct.Struct("<QQQI")


def lock(directory: Path) -> int:
    """Keeps the directory for this process, until it closes the descriptor or dies, however it dies.

    Raises BlockingIOError while another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BlockingIOError(f"another process serves the replica in {directory}") from error
    return descriptor


def load_state(directory: Path) -> HardState:
    path = directory / _STATE
    return HardState.from_json(json.loads(path.read_text())) if path.exists() else HardState()


def save_state(directory: Path, state: HardState) -> None:
    write_atomically(directory / _STATE, json.dumps(state.to_json()))


class Mark:
    """Up to `synced` the log was on the disk, and up to `committed` it was final, when either was noted last.

    It tells a log whose end was never on the disk from one that lost what was, and lets a replica that starts serve
    what it knows to be final before anybody has spoken to it. It is written after each sync and not forced onto the
    disk: after the machine lost its power it may be old, which is safe. So is what a full disk did not take.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / _MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._turn = threading.Lock()
        self.synced, self.committed = self._read()

    def note(self, *, synced: Position | None = None, committed: int | None = None) -> None:
        """From any thread."""
        with self._turn, contextlib.suppress(OSError):
            self.synced = self.synced if synced is None else synced
            self.committed = self.committed if committed is None else committed
            body = struct.pack("<QQQ", self.synced.epoch, self.synced.seq, self.committed)
            os.pwrite(self._descriptor, body + struct.pack("<I", zlib.crc32(body)), 0)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> tuple[Position, int]:
        data = os.pread(self._descriptor, _FORM.size, 0)
        if len(data) < _FORM.size or zlib.crc32(data[:-4]) != _FORM.unpack(data)[-1]:
            return Position(0, 0), 0
        term, seq, committed, _ = _FORM.unpack(data)
        return Position(term, seq), committed

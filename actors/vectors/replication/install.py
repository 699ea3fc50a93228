"""A copy of another replica's shard, or of a snapshot's, fetched and put in the place of one's own.

The files come into a directory of their own, which gets its final name, with the copy's position, once all of them are
on the disk. A crash before that leaves a directory that is thrown away, a crash after it one that is put in place when
the replica starts again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from actors.durable import sync
from actors.vectors.entry import Position
from actors.vectors.log import Log
from actors.vectors.replication.disk import Mark

SHARD = "shard"
INCOMING, RESTORED = "incoming", "restored"
"""Directories that fill up: with the files of another replica, and with those of a snapshot."""
_COMPLETE = "copy-"


def begin(directory: Path, name: str = INCOMING) -> Path:
    """An empty directory for the files."""
    partial = directory / name
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    return partial


def write_chunk(partial: Path, name: str, offset: int, data: bytes) -> None:
    """Raises ValueError where the name leads out of the directory."""
    path = partial / name
    if not path.resolve().is_relative_to(partial.resolve()):
        raise ValueError(f"found {name!r} among the files of a copy: expected a path below the shard's directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(data)


def complete(directory: Path, partial: Path, position: Position) -> None:
    """All files are there: from now on the copy counts."""
    for root, _, names in os.walk(partial, topdown=False):
        for name in names:
            sync(Path(root) / name)
        sync(Path(root))
    copy = directory / f"{_COMPLETE}{position.epoch}-{position.seq}"
    shutil.rmtree(copy, ignore_errors=True)  # one that a full disk kept from its place
    partial.rename(copy)
    sync(directory)


def put_in_place(directory: Path, log: Log, mark: Mark) -> None:
    """A complete copy, where there is one, becomes the shard; the log goes on behind it."""
    for name in (INCOMING, RESTORED):
        shutil.rmtree(directory / name, ignore_errors=True)
    for position, copy in sorted((_position(copy), copy) for copy in directory.glob(f"{_COMPLETE}*")):
        begin_behind(log, mark, position)
        shutil.rmtree(directory / SHARD, ignore_errors=True)
        copy.rename(directory / SHARD)
        sync(directory)


def _position(copy: Path) -> Position:
    term, seq = map(int, copy.name.removeprefix(_COMPLETE).split("-"))
    return Position(term, seq)


def begin_behind(log: Log, mark: Mark, position: Position) -> None:
    """The log goes on behind a shard that is at `position`; entries beyond that stay, where they follow on it."""
    joins = log.first - 1 <= position.seq <= log.last.seq
    if joins and (position.seq == 0 or log.epoch_at(position.seq) == position.epoch):
        return
    mark.note(synced=position, committed=position.seq)
    log.reset(position)

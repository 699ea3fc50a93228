"""What is left of a shard's log when its process starts: valid entries that follow on, and no file beside theirs.

It never repairs an entry, and never drops one before the first damaged place. A crash leaves it to be done again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from actors.durable import sync
from actors.vectors.entry import Position
from actors.vectors.framing import HEAD_BYTES, Head, frames_behind, read_head
from actors.vectors.log_file import NAME, LogFile


@dataclass(frozen=True)
class Recovered:
    """`damage` says what was cut off ("" for nothing), `lost` how many valid entries lay behind the damage."""

    files: tuple[LogFile, ...]
    damage: str
    lost: int


def recover(directory: Path) -> Recovered:
    """Reads every file once, one at a time; all of it is on the disk when it returns. Raises OSError where one cannot
    be read or cut at all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files: list[LogFile] = []
    paths = _in_force(sorted(directory.glob("*.log")))
    damage, lost = "", 0
    for number, path in enumerate(paths):
        data = path.read_bytes()
        file = LogFile.open(path, data)
        if file is not None and files and file.head.before != files[-1].last:
            os.close(file.descriptor)
            file = None
        if file is not None:
            files.append(file)
        valid = 0 if file is None else file.size
        if valid < len(data) or file is None:
            later = paths[number + 1 :]
            lost = frames_behind(data, valid) + sum(frames_behind(one.read_bytes(), 0) for one in later)
            damage = f"{path.name} was cut at byte {valid} of {len(data)}: what follows is no valid entry"
            damage += f"; {lost} later entries, in this file and {len(later)} others, are lost" if lost else ""
            for one in reversed(later if file is not None else paths[number:]):
                one.unlink()
            break
    if not files:
        number = int(paths[-1].stem) + 1 if paths else 1
        files = [LogFile.create(directory / NAME.format(number), Head(Position(0, 0), True))]
    files[-1].cut_after(files[-1].last.seq)
    for file in files:
        file.sync()  # what a killed process had appended may be in the page cache only
    sync(directory)
    return Recovered(tuple(files), damage, lost)


def _in_force(paths: list[Path]) -> list[Path]:
    """Without the files that a later one has made void, which a crash has left; they are removed."""
    heads = []
    for path in paths:
        with path.open("rb") as file:
            heads.append(read_head(file.read(HEAD_BYTES)))
    start = max((number for number, head in enumerate(heads) if head is not None and head.fresh), default=0)
    for path in paths[:start]:
        path.unlink()
    return paths[start:]

"""The receipt of a shard: which files are the shard as it was at one position of its log.

Written last, when all that it names is on the disk, so that a manifest that reads well proves the rest; the log may be
cut before its position. Each has a number of its own, and the one with the greatest number that reads well is in force:
a crash while one is written leaves the one before it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from actors.durable import write_atomically
from actors.vectors.entry import Position
from control.specs.collection import CollectionSpec

_NAME = "manifest-{:012}.json"
_READ_BYTES = 8 << 20


class FileDamaged(ValueError):
    """A file is missing, or not what the manifest says; the message says which, what was found and expected."""


@dataclass(frozen=True)
class FileRecord:
    """`path` is relative to the shard's directory, `crc` is CRC-32."""

    path: str
    bytes: int
    crc: int

    @staticmethod
    def of(directory: Path, path: Path) -> FileRecord:
        return FileRecord(str(path.relative_to(directory)), path.stat().st_size, _crc(path))

    def check(self, directory: Path) -> None:
        """Raises FileDamaged. Reads the file, at about 2 GB/s."""
        path = directory / self.path
        if not path.is_file():
            raise FileDamaged(f"{self.path} is missing")
        if (size := path.stat().st_size) != self.bytes:
            raise FileDamaged(f"{self.path} has {size} bytes, expected {self.bytes}")
        if (crc := _crc(path)) != self.crc:
            raise FileDamaged(f"{self.path} has the checksum {crc:08x}, expected {self.crc:08x}")


@dataclass(frozen=True)
class SegmentRecord:
    """`asked` is the index that was asked for when it was built, "" for none. `alive` has a bit for each row; None
    while all are alive.
    """

    name: str
    rows: int
    asked: str
    files: tuple[FileRecord, ...]
    alive: FileRecord | None


@dataclass(frozen=True)
class Lost:
    """A damaged part of the shard, whose files, named `name`, are left alone for people to look at."""

    name: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """`growing` has the rows that are in no segment. What is `lost` stays so: a segment that could be read again later
    would bring back rows that were deleted meanwhile. `spent` is the greatest number that any file or segment has had.
    """

    schema: str
    position: Position
    segments: tuple[SegmentRecord, ...]
    growing: FileRecord | None
    lost: tuple[Lost, ...]
    spent: int

    @property
    def files(self) -> Iterator[FileRecord]:
        for segment in self.segments:
            yield from segment.files
            if segment.alive is not None:
                yield segment.alive
        if self.growing is not None:
            yield self.growing

    def path(self, directory: Path) -> Path:
        return directory / _NAME.format(self.spent)

    def write(self, directory: Path) -> None:
        """Durable when it returns."""
        body = asdict(self)
        write_atomically(self.path(directory), json.dumps({"sha256": _digest(body), "manifest": body}))


def read_manifest(directory: Path) -> tuple[Manifest | None, str]:
    """The manifest in force, None where there is none, and what is wrong with it ("" for nothing)."""
    wrong = ""
    for path in sorted(directory.glob(_NAME.replace("{:012}", "*")), reverse=True):
        try:
            return read_file(path), wrong
        except FileDamaged as error:
            wrong = wrong or str(error)
    return None, wrong


def has_receipt(directory: Path) -> bool:
    """Whether the shard ever had one; perhaps it cannot be read any more."""
    return any(directory.glob(_NAME.replace("{:012}", "*")))


def read_file(path: Path) -> Manifest:
    """Raises FileDamaged."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        if written["sha256"] != _digest(written["manifest"]):
            raise ValueError("its checksum is not that of its text")
        return TypeAdapter(Manifest).validate_python(written["manifest"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileDamaged(f"{path.name} cannot be read: {error}") from error


def schema_digest(spec: CollectionSpec) -> str:
    """Of what cannot change in a collection: fields come, and those that are there keep their types."""
    return hashlib.sha256(f"{spec.ids}\n{spec.dimension}\n{spec.metric}".encode()).hexdigest()


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            crc = zlib.crc32(data, crc)
    return crc

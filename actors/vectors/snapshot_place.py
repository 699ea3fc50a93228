"""Where a snapshot lies: files under a URL, by whatever implementation of fsspec is installed for it.

`begun.json` comes first, then the files of each shard under `shard-<n>/replica-<n>/` with `shard.json` behind them, and
`collection.json` last: without it there is no snapshot. A crash leaves files that another attempt at the same URL
writes anew. Nothing that is not a snapshot is ever written over. Credentials come from the environment alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import fsspec

from actors.vectors.manifest import FileRecord
from actors.vectors.snapshot import ShardCopy, Snapshot, SnapshotError

COLLECTION, BEGUN, SHARD = "collection.json", "begun.json", "shard.json"
CHUNK_BYTES = 8 << 20


class SnapshotPlace:
    """Methods raise SnapshotError, which names the URL, also for what the implementation of fsspec raises."""

    def __init__(self, url: str) -> None:
        self.url = url
        if "://" not in url and not Path(url).is_absolute():
            raise SnapshotError(f"found {url}, which each machine has elsewhere; expected a URL, such as file:///path")
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise SnapshotError(f"{url} cannot be used: {error}") from error

    def begin(self, collection: str, taken: str, shards: int) -> None:
        """Refuses a place that has a snapshot, or files of something else."""
        with _told(self.url):
            there = self._files.ls(self._root, detail=False) if self._files.exists(self._root) else []
            names = {path.rstrip("/").rpartition("/")[2] for path in there}
            if names and BEGUN not in names:
                raise SnapshotError(f"found {', '.join(sorted(names)[:3])} at {self.url}; expected nothing there yet")
            if COLLECTION in names and self._finished():
                raise SnapshotError(f"there is a snapshot at {self.url} already; expected another URL")
            self._files.makedirs(self._root, exist_ok=True)
            self._write(BEGUN, json.dumps({"collection": collection, "taken": taken, "shards": shards}))

    def put(self, copy: ShardCopy, directory: Path) -> None:
        """Copies the files of the shard in `directory`; one that is not what its record says is refused."""
        with _told(self.url):
            for file in copy.files:
                with (directory / file.path).open("rb") as source, self._open(f"{copy.place}/{file.path}") as sink:
                    _check(file, _copied(source, sink))
            self._write(f"{copy.place}/{SHARD}", json.dumps(asdict(copy)))

    def get(self, copy: ShardCopy, directory: Path) -> None:
        """The other way round."""
        for file in copy.files:
            self._get(copy, file, directory)

    def _get(self, copy: ShardCopy, file: FileRecord, directory: Path) -> None:
        target = directory / file.path
        if not target.resolve().is_relative_to(directory.resolve()):
            raise SnapshotError(f"{self.url} names {file.path!r}: expected a path below the shard's directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _told(self.url), self._files.open(self._path(copy, file), "rb") as source, target.open("wb") as sink:
            _check(file, _copied(source, sink))

    def finish(self, snapshot: Snapshot) -> None:
        """Once every file is there, in its size, the snapshot counts."""
        missing = list(self.missing(snapshot.shards))
        if missing:
            where = " (is it the same place for every machine?)" if self.url.startswith("file:") else ""
            raise SnapshotError(f"the snapshot at {self.url} is not whole{where}: {_few(missing)}")
        with _told(self.url):
            self._write(COLLECTION, snapshot.text())

    def missing(self, shards: tuple[ShardCopy, ...]) -> Iterator[str]:
        """Files that are not there, or not in their size."""
        with _told(self.url):
            for one in shards:
                for file in one.files:
                    path = self._path(one, file)
                    if not self._files.exists(path):
                        yield f"{one.place}/{file.path} is missing"
                    elif (size := self._files.size(path)) != file.bytes:
                        yield f"{one.place}/{file.path} has {size} bytes, expected {file.bytes}"

    def read(self) -> Snapshot:
        """Raises SnapshotError for one that was not finished, and says what is missing."""
        with _told(self.url):
            if self._files.exists(f"{self._root}/{COLLECTION}"):
                try:
                    return Snapshot.read(self._text(COLLECTION))
                except SnapshotError as error:
                    raise SnapshotError(f"{self.url}/{COLLECTION}: {error}") from error
            if not self._files.exists(f"{self._root}/{BEGUN}"):
                raise SnapshotError(f"there is no snapshot at {self.url}: neither {COLLECTION} nor {BEGUN}")
            begun = json.loads(self._text(BEGUN))
            there = {path.split("/")[-3] for path in self._files.glob(f"{self._root}/shard-*/*/{SHARD}")}
            lacks = [COLLECTION, *([f"{n} of {begun['shards']} shards"] if (n := begun["shards"] - len(there)) else [])]
            raise SnapshotError(
                f"the snapshot of {begun['collection']} at {self.url}, begun {begun['taken']}, was not finished: "
                f"missing are {_few(lacks)}"
            )

    def _finished(self) -> bool:
        try:
            Snapshot.read(self._text(COLLECTION))
        except SnapshotError:
            return False
        return True

    def _path(self, copy: ShardCopy, file: FileRecord) -> str:
        return f"{self._root}/{copy.place}/{file.path}"

    def _open(self, name: str) -> Any:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        return self._files.open(path, "wb")

    def _write(self, name: str, text: str) -> None:
        with self._open(name) as sink:
            sink.write(text.encode())

    def _text(self, name: str) -> str:
        with self._files.open(f"{self._root}/{name}", "rb") as source:
            return str(source.read().decode(errors="replace"))


class _told:
    """Whatever an implementation of fsspec raises becomes a SnapshotError: each has errors of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SnapshotError):
            raise SnapshotError(f"{self._url}: {type(error).__name__}: {error}") from error


def _copied(source: IO[bytes], sink: IO[bytes]) -> tuple[int, int]:
    """How many bytes there were, and their CRC-32."""
    size, crc = 0, 0
    while data := source.read(CHUNK_BYTES):
        sink.write(data)
        size, crc = size + len(data), zlib.crc32(data, crc)
    return size, crc


def _check(file: FileRecord, found: tuple[int, int]) -> None:
    if found != (file.bytes, file.crc):
        raise SnapshotError(
            f"{file.path} has {found[0]} bytes with the checksum {found[1]:08x}, "
            f"expected {file.bytes} with {file.crc:08x}"
        )


def _few(lacks: list[str]) -> str:
    return ", ".join(lacks[:5]) + (f" and {len(lacks) - 5} more" if len(lacks) > 5 else "")

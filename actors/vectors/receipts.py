"""Writes the receipts of a shard, and keeps its directory to what the last one names.

Files are added, put into a manifest, and removed once no manifest in force names them: never changed. A crash leaves
files that no manifest names, which the next receipt removes. On a full disk the last receipt stays in force.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.durable import sync
from actors.vectors.entry import Position
from actors.vectors.found import Mask
from actors.vectors.manifest import FileRecord, Manifest, schema_digest
from actors.vectors.rows import row_schema
from actors.vectors.segments.sealed import BLOCK_ROWS, SEGMENTS
from actors.vectors.stored import Stored
from actors.vectors.view import SealedPart, View
from control.specs.collection import CollectionSpec


class Receipts:
    """Of the shard in `directory`, whose `manifest` is the last one that was written."""

    def __init__(self, directory: Path, stored: Stored) -> None:
        self.directory, self.lost = directory, stored.lost
        self.manifest = stored.manifest
        self._spent = max((_number(path) for path in _own(directory)), default=0)
        self._making: set[str] = set()
        self._alive = _alive_files(stored)
        self._holders, self._held = 0, set[Path]()
        self._lock = threading.RLock()

    @property
    def position(self) -> Position:
        return self.manifest.position if self.manifest is not None else Position(0, 0)

    def new_segment(self) -> str:
        """A name for a segment that is going to be made, whose files are left alone until it is in a view."""
        with self._lock:
            name = self._new("segment", "")
            self._making.add(name)
            return name

    def abandon(self, name: str) -> None:
        """The segment will not be made, or not be used."""
        with self._lock:
            self._making.discard(name)
            shutil.rmtree(self.directory / SEGMENTS / name, ignore_errors=True)

    def write(self, view: View, spec: CollectionSpec) -> None:
        """All of the view is on the disk when it returns. OSError leaves the last receipt in force."""
        with self._lock:
            segments = tuple(replace(part.rowset.record, alive=self._alive_file(part)) for part in view.sealed)
            growing = self._growing_file(view, row_schema(spec))
            sync(self.directory)
            self._spent += 1
            digest = schema_digest(spec)
            manifest = Manifest(digest, view.applied, segments, growing, self.lost, self._spent)
            manifest.write(self.directory)
            self.manifest = manifest
            names = {one.name for one in segments}
            self._making -= names
            self._alive = {name: file for name, file in self._alive.items() if name in names}
            self._remove_the_rest()

    def files(self) -> list[Path]:
        """Those of the last receipt, its manifest last. They stay until `release` was called as often as this."""
        with self._lock:
            files = self._named()
            self._holders += 1
            self._held.update(files)
            return files

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._held.clear()

    def _named(self) -> list[Path]:
        if self.manifest is None:
            return []
        files = [self.directory / file.path for file in self.manifest.files]
        return [*files, self.manifest.path(self.directory)]

    def _alive_file(self, part: SealedPart) -> FileRecord | None:
        if part.alive is None:
            return None
        name = part.rowset.record.name
        known = self._alive.get(name)
        if known is None or known[0] is not part.alive:
            path = self.directory / self._new("alive", ".bits")
            path.write_bytes(np.packbits(part.alive).tobytes())
            sync(path)
            known = self._alive[name] = (part.alive, FileRecord.of(self.directory, path))
        return known[1]

    def _growing_file(self, view: View, schema: pa.Schema) -> FileRecord | None:
        parts = [part for part in (*view.frozen, view.growing) if part.dead < part.rows]
        if not parts:
            return None
        path = self.directory / self._new("growing", ".arrow")
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, schema) as writer:
            for part in parts:
                rows = part.living()
                for start in range(0, len(rows), BLOCK_ROWS):
                    writer.write_batch(part.rowset.take(rows[start : start + BLOCK_ROWS], tuple(schema.names)))
        sync(path)
        return FileRecord.of(self.directory, path)

    def _new(self, noun: str, ending: str) -> str:
        self._spent += 1
        return f"{noun}-{self._spent:012}{ending}"

    def _remove_the_rest(self) -> None:
        kept = {*self._named(), *self._held}
        kept |= {self.directory / SEGMENTS / name for name in (*self._making, *(one.name for one in self.lost))}
        kept |= {self.directory / one.name for one in self.lost}
        kept |= {path.parent for path in kept if path.parent.parent == self.directory / SEGMENTS}
        for path in _own(self.directory):
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _alive_files(stored: Stored) -> dict[str, tuple[Mask, FileRecord]]:
    """The masks that are on the disk already, by the name of their segment."""
    records = stored.manifest.segments if stored.manifest is not None else ()
    files = {record.name: record.alive for record in records}
    masks = ((part.rowset.record.name, part.alive) for part in stored.sealed)
    return {name: (mask, file) for name, mask in masks if mask is not None and (file := files[name]) is not None}


def _own(directory: Path) -> list[Path]:
    """Every file and segment of the shard, also those that no manifest names."""
    patterns = ("manifest-*.json", "growing-*.arrow", "alive-*.bits", f"{SEGMENTS}/segment-*")
    return [path for pattern in patterns for path in directory.glob(pattern)]


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])

"""Reads what a receipt names back into parts. Damage is told and left out, never an error and never silent.

Sizes and checksums of all files are compared before anything is read (about 2 GB/s): FAISS would follow damaged links.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.manifest import FileRecord, Lost, Manifest, SegmentRecord, read_manifest, schema_digest
from actors.vectors.rows import conformed, row_schema
from actors.vectors.segments.sealed import SEGMENTS, Sealed
from actors.vectors.view import SealedPart
from control.specs.collection import CollectionSpec

_DAMAGED = (ValueError, OSError, IndexDamaged)


@dataclass(frozen=True)
class Stored:
    """`lost` are the damaged parts, those of earlier openings too. `growing` are rows that belong to no segment."""

    manifest: Manifest | None
    sealed: tuple[SealedPart, ...]
    growing: tuple[pa.RecordBatch, ...]
    lost: tuple[Lost, ...]


def read_stored(directory: Path, spec: CollectionSpec) -> Stored:
    """Raises ValueError where the files are of another kind of ids, dimension or metric, and UnknownField."""
    for path in directory.glob(".manifest-*"):
        path.unlink()  # one that a crash left half written
    manifest, wrong = read_manifest(directory)
    lost = []
    if wrong:
        named = {record.name for record in manifest.segments} if manifest is not None else set()
        unnamed = sorted({path.name for path in (directory / SEGMENTS).glob("*")} - named)
        lost = [Lost("", wrong), *(Lost(name, f"{name} is named by no manifest that can be read") for name in unnamed)]
    if manifest is None:
        return Stored(None, (), (), tuple(lost))
    if manifest.schema != schema_digest(spec):
        raise ValueError(f"{directory.name} has rows of other ids, another dimension or metric than the collection's")
    lost += manifest.lost
    sealed, growing = [], ()
    for record in manifest.segments:
        try:
            sealed.append(_part(directory, record, spec))
        except _DAMAGED as error:
            lost.append(Lost(record.name, f"{record.name} with {record.rows} rows is left out: {error}"))
    if manifest.growing is not None:
        try:
            growing = _growing(directory, manifest.growing, spec)
        except _DAMAGED as error:
            lost.append(Lost(manifest.growing.path, f"the rows of {manifest.growing.path} are left out: {error}"))
    return Stored(manifest, tuple(sealed), growing, tuple(lost))


def _part(directory: Path, record: SegmentRecord, spec: CollectionSpec) -> SealedPart:
    for file in (*record.files, *([record.alive] if record.alive else [])):
        file.check(directory)
    sealed = Sealed.open(directory, replace(record, alive=None), spec)
    if record.alive is None:
        return SealedPart(sealed)
    bits = np.fromfile(directory / record.alive.path, np.uint8)
    alive = np.unpackbits(bits, count=record.rows).view(np.bool_)
    return SealedPart(sealed, alive, record.rows - int(np.count_nonzero(alive)))


def _growing(directory: Path, file: FileRecord, spec: CollectionSpec) -> tuple[pa.RecordBatch, ...]:
    file.check(directory)
    with pa.OSFile(str(directory / file.path), "rb") as source:
        return tuple(conformed(pa.ipc.open_file(source).read_all(), row_schema(spec)).to_batches())

"""One shard copied to a snapshot, and a new shard's files made from one. Both read and write files in a thread.

A crash leaves files in the snapshot's place that nothing names, or a directory that the next start throws away.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.vectors import manifest
from actors.vectors.entry import Position
from actors.vectors.manifest import FileDamaged, FileRecord, Manifest
from actors.vectors.routing import shard_and_replica
from actors.vectors.snapshot import ShardCopy, SnapshotError, differences
from actors.vectors.snapshot_place import SnapshotPlace
from control.specs.collection import CollectionSpec

BEGINNING = Position(0, 0)
"""Of a restored shard: its log begins with what is written to the new collection."""


def save(place: SnapshotPlace, actor: str, directory: Path, last: str) -> ShardCopy:
    """Copies the files of the replica's shard, which stay as they are meanwhile; `last` is its manifest.

    Raises SnapshotError.
    """
    try:
        record = manifest.read_file(directory / last)
    except FileDamaged as error:
        raise SnapshotError(str(error)) from error
    files = (*record.files, FileRecord.of(directory, directory / last))
    shard, replica = shard_and_replica(actor)
    where = f"shard-{shard}/replica-{replica}"
    copy = ShardCopy(shard, where, record.position, _rows(record, directory), files)
    place.put(copy, directory)
    return copy


def restore(spec: CollectionSpec, actor: str, directory: Path) -> None:
    """Fills the empty `directory` with the files of the replica's shard, which begins with the snapshot's rows.

    Raises SnapshotError where the snapshot is not whole, is not the one that was meant, or is of another schema.
    """
    assert spec.restore is not None, "who asks has looked"
    place = SnapshotPlace(spec.restore.url)
    snapshot = place.read()
    if snapshot.sha256 != spec.restore.sha256:
        found = f"the snapshot at {place.url} has the digest {snapshot.sha256}"
        raise SnapshotError(f"{found}; expected {spec.restore.sha256}: it is another one than was meant")
    if wrong := differences(snapshot.spec, spec):
        raise SnapshotError(f"the snapshot at {place.url} is of another schema: {'; '.join(wrong)}")
    shard, _ = shard_and_replica(actor)
    copy = snapshot.shards[shard]
    place.get(copy, directory)
    path = directory / copy.files[-1].path
    replace(manifest.read_file(path), position=BEGINNING).write(directory)


def _rows(record: Manifest, directory: Path) -> int:
    """Those that are alive."""
    rows = 0
    for segment in record.segments:
        bits = np.fromfile(directory / segment.alive.path, np.uint8) if segment.alive else None
        rows += segment.rows if bits is None else int(np.unpackbits(bits, count=segment.rows).sum())
    if record.growing is not None:
        with pa.memory_map(str(directory / record.growing.path)) as source:
            rows += pa.ipc.open_file(source).read_all().num_rows
    return rows

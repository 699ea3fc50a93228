"""A snapshot of a collection: the leader of each shard copies its files, all at about the same time; then it counts.

A crash, of whoever asked or of a leader, leaves a snapshot without `collection.json`, which is none.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version

from actors.vectors.scatter import Shards
from actors.vectors.snapshot import Snapshot
from actors.vectors.snapshot_place import SnapshotPlace


async def take(shards: Shards, name: str, url: str, seconds: float) -> Snapshot:
    """Within `seconds`. Raises UnknownCollection, Unanswered where a shard has no leader, and SnapshotError."""
    row = await shards.table.collection(name)
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    place = SnapshotPlace(url)
    await asyncio.to_thread(place.begin, name, taken, len(row.shards))
    copies = await shards.snapshot(name, url, seconds)
    await shards.table.refresh()  # a field may have come meanwhile, and be in the files
    spec = (await shards.table.collection(name)).spec
    spec = spec.model_copy(update={"shards": len(copies)})  # more or fewer may be wanted, and not serve yet
    snapshot = Snapshot(name, taken, version("biplane"), spec, tuple(copies))
    await asyncio.to_thread(place.finish, snapshot)
    return snapshot

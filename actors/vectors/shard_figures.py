"""What a shard says of itself, for metrics and for whoever places it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardFigures:
    """`rows` are alive, `dead` are not and wait for a compaction. `exact_rows` have no index: growing, frozen or fresh.
    `index_rows` of `building_rows` are in the index that is being built. `outdated` segments have an index that is not
    what the collection asks for now. Bytes are of raw vectors and of metadata indexes in memory; `unreceipted_bytes` of
    entries that a restart would apply again.
    """

    rows: int
    dead: int
    segments: int
    growing_rows: int
    exact_rows: int
    vector_bytes: int
    metadata_bytes: int
    unreceipted_bytes: int
    rebuilds: int
    building_rows: int
    index_rows: int
    outdated: int
    last_reason: str

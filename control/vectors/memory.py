"""How much memory a replica takes. Pure.

Raw vectors are 4 bytes a number, in memory once. HNSW has 2 m links of 4 bytes on the lowest level of a node, IVF an id
of 8 bytes a row, PQ a code besides; a graph for a GPU is on the device with the vectors. Indexes of metadata are taken
for 16 bytes a row and indexed field.
"""

from __future__ import annotations

from control.specs.collection import CollectionSpec

PROCESS_BYTES = 256 << 20
"""What an empty replica takes: Python, Arrow, FAISS."""
FIRST_ROWS = 100_000
"""So many rows in all a new collection is taken to have until its replicas say what they hold."""
GROWTH = 1.25
"""What replicas say they take is taken for so many times as much: they grow, and merging takes room."""


def bytes_for(spec: CollectionSpec, rows: int) -> int:
    """Of one replica with so many rows of its own."""
    index = spec.index
    links = 8 * (index.m or 16) if index.kind in ("auto", "hnsw") else 8
    if index.kind == "ivf_pq":
        links += (index.subvectors or spec.dimension // 2 or 1) * (index.bits or 8) // 8
    return PROCESS_BYTES + rows * (4 * spec.dimension + links + 16 * sum(one.index for one in spec.fields))


def needed(spec: CollectionSpec, said: int) -> int:
    """What to keep free for a replica; `said` are the bytes that it takes, or others of its shard do, 0 if unknown."""
    return max(bytes_for(spec, FIRST_ROWS // spec.shards), round(GROWTH * said))

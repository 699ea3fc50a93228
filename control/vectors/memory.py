"""How much memory a replica takes, of its host and of its GPU. Pure.

The index that will be built is asked for what it takes; ids are 12 bytes a row (`segments/ids.py`), and indexes of
metadata are taken for 16 bytes a row and indexed field.
"""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.index_choice import choose
from control.specs.index_plan import IndexBytes, bytes_of

PROCESS_BYTES = 256 << 20
"""What an empty replica takes: Python, Arrow, FAISS."""
DEVICE_BYTES = 1 << 30
"""What a replica takes of its GPU beside its indexes: CUDA's context and libraries, and the scratch of each."""
FIRST_ROWS = 100_000
"""So many rows in all a new collection is taken to have until its replicas say what they hold."""
GROWTH = 1.25
"""What replicas say they take is taken for so many times as much: they grow, and merging takes room."""
_ID_BYTES, _FIELD_BYTES = 12, 16


def bytes_for(spec: CollectionSpec, rows: int) -> int:
    """Of one replica with so many rows of its own."""
    indexed = sum(one.index for one in spec.fields)
    return PROCESS_BYTES + _index_bytes(spec, rows).host + rows * (_ID_BYTES + _FIELD_BYTES * indexed)


def device_bytes_for(spec: CollectionSpec, rows: int) -> int:
    """Of the GPU of one replica with so many rows, in one segment: twice what is searched there, since it comes before
    those go that it is made of.
    """
    copies = 1 if spec.index.kind in ("hnsw", "ivf_pq") else 2
    return DEVICE_BYTES + copies * _index_bytes(spec, rows).device


def _index_bytes(spec: CollectionSpec, rows: int) -> IndexBytes:
    """As if FAISS had cuVS: with it an index takes more."""
    plan = choose(rows, spec, cuvs=True)
    return bytes_of(plan, rows, spec.dimension, gpu=spec.index.device == "gpu")


def needed(spec: CollectionSpec, said: int) -> int:
    """What to keep free for a replica; `said` are the bytes that it takes, or others of its shard do, 0 if unknown."""
    return max(bytes_for(spec, FIRST_ROWS // spec.shards), round(GROWTH * said))

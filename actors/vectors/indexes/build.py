"""Builds the index of a sealed segment, and opens one that was saved.

Nothing here is synced or renamed: a crash leaves a directory that no manifest names yet, which its owner removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import faiss

from actors.vectors.indexes.flat import Flat
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.index import Index
from actors.vectors.indexes.ivf import Ivf
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_choice import choose


def build_index(
    blocks: Sequence[Floats], spec: CollectionSpec, threads: int = 1, between: Callable[[int], None] = lambda rows: None
) -> Index:
    """An index over the rows of all blocks, each (n, dimension), in order.

    `between` is told a few times a second how many rows are in; what it raises ends the build, which leaves nothing.
    Blocks are read and not kept, except where the index is of one block and needs nothing else.
    """
    rows = sum(map(len, blocks))
    plan = choose(rows, spec)
    with _threads(threads):
        if plan.kind == "hnsw":
            return Hnsw.build(blocks, spec, plan, between)
        if plan.kind != "flat":
            return Ivf.build(blocks, spec, plan, between)
        return Flat.build(blocks, spec)


def load_index(directory: Path, spec: CollectionSpec) -> Index:
    """What `Index.save` wrote, whatever the spec would choose now; its vectors are mapped from the file.

    The files must be whole, which their owner knows from their digests: FAISS follows damaged links without a check.
    Raises IndexDamaged for what shows: files that are missing, cut, or of another collection.
    """
    receipt = Receipt.read(directory, spec)
    if receipt.kind == "hnsw":
        return Hnsw.load(directory, receipt, spec)
    if receipt.kind != "flat":
        return Ivf.load(directory, receipt, spec)
    return Flat.load(directory, receipt, spec)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """OpenMP's number is that of the calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

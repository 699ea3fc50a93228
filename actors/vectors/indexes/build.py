"""Builds the index of a sealed segment, and opens one that was saved.

Nothing here is synced or renamed: a crash leaves a directory that no manifest names yet, which its owner removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import faiss

from actors.vectors.indexes import cagra, gpu
from actors.vectors.indexes.cagra import Cagra
from actors.vectors.indexes.flat import Flat
from actors.vectors.indexes.gpu import OnGpu
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.index import Index
from actors.vectors.indexes.ivf import Ivf
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_choice import choose

_LOG = logging.getLogger(__name__)


def build_index(
    blocks: Sequence[Floats],
    spec: CollectionSpec,
    threads: int = 1,
    between: Callable[[int], None] = lambda rows: None,
    memory: int | None = None,
) -> Index:
    """An index over the rows of all blocks, each (n, dimension), in order; they are gone through twice.

    `between` is told a few times a second how many rows are in; what it raises ends the build, which leaves nothing.
    `memory` are the bytes that the index may take, by which `auto` chooses; None where that is no matter. Blocks are
    read and not kept, except where the index is of one block and needs nothing else.
    """
    rows = sum(map(len, blocks))
    plan = choose(rows, spec, memory=memory, cuvs=cagra.present())
    with _threads(threads):
        if plan.kind == "cagra":
            return Cagra.build(blocks, spec, plan, between)
        if plan.kind == "hnsw":
            return Hnsw.build(blocks, rows, spec, plan, between)
        if plan.kind == "flat":
            return _placed(Flat.build(blocks, spec), spec)
        return _placed(Ivf.build(blocks, spec, plan, between), spec)


def load_index(directory: Path, spec: CollectionSpec) -> Index:
    """What `Index.save` wrote, whatever the spec would choose now; its vectors are mapped from the file.

    The files must be whole, which their owner knows from their digests: FAISS follows damaged links without a check.
    Raises IndexDamaged for what shows: files that are missing, cut, or of another collection.
    """
    receipt = Receipt.read(directory, spec)
    if receipt.kind == "hnsw":
        return Hnsw.load(directory, receipt, spec)
    if receipt.kind == "cagra":
        twin = Hnsw.load(directory, receipt, spec)
        return Cagra.of(twin) if cagra.present() else twin
    if receipt.kind == "flat":
        return _placed(Flat.load(directory, receipt, spec), spec)
    return _placed(Ivf.load(directory, receipt, spec), spec)


def _placed(twin: Flat | Ivf, spec: CollectionSpec) -> Index:
    """On a GPU where the collection asks for one and there is one: without, a shard still opens, and is slower."""
    if spec.index.device == "cpu" or not gpu.present():
        return twin
    try:
        return OnGpu.of(twin)
    except RuntimeError as error:
        _LOG.warning("a segment of %d rows is searched on the CPU: %s", len(twin.vectors), error)
        return twin


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """OpenMP's number is that of the calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

"""Builds the index of a sealed segment, and opens one that was saved.

Nothing here is synced or renamed: a crash leaves a directory that no manifest names yet, which its owner removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import faiss

from actors.vectors.indexes import cagra, device
from actors.vectors.indexes.flat import Flat
from actors.vectors.indexes.gpu import OnGpu
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.index import Index
from actors.vectors.indexes.ivf import Ivf
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_choice import FLAT_ROWS, choose
from control.specs.vector_index import IndexKind

_LOG = logging.getLogger(__name__)


def build_index(
    blocks: Sequence[Floats],
    spec: CollectionSpec,
    threads: int = 1,
    between: Callable[[int], None] = lambda rows: None,
    memory: int | None = None,
) -> Index:
    """An index over the rows of all blocks, each (n, dimension), in order; they are gone through a few times. It is on
    the CPU, whatever built it, and there to be saved: `load_index` puts it where it is searched.

    `between` is told a few times a second how many rows are in; what it raises ends the build, which leaves nothing.
    `memory` are the bytes that the index may take, by which `auto` chooses; None where that is no matter. Blocks are
    read and not kept, except where the index is of one block and needs nothing else.
    """
    with _threads(threads):
        if spec.index.device == "gpu" and device.present():
            try:
                return _built(blocks, spec, between, memory, gpu=True)
            except (RuntimeError, MemoryError) as error:
                _LOG.warning("%d rows get their index on the CPU: %s", sum(map(len, blocks)), error)
        return _built(blocks, spec, between, memory, gpu=False)


def load_index(directory: Path, spec: CollectionSpec) -> Index:
    """What `Index.save` wrote, whatever the spec would choose now; its vectors are mapped from the file.

    The files must be whole, which their owner knows from their digests: FAISS follows damaged links without a check.
    Raises IndexDamaged for what shows: files that are missing, cut, or of another collection.
    """
    receipt = Receipt.read(directory, spec)
    kinds: dict[IndexKind, type[Flat | Hnsw | Ivf]] = {"flat": Flat, "hnsw": Hnsw, "cagra": Hnsw}
    twin = kinds.get(receipt.kind, Ivf).load(directory, receipt, spec)
    there = device.cuvs() if twin.kind == "cagra" else twin.kind in ("flat", "ivf_flat") and device.present()
    if spec.index.device == "cpu" or not there or receipt.rows <= FLAT_ROWS:
        return twin
    try:
        return OnGpu.of(twin)
    except (RuntimeError, MemoryError) as error:  # a shard opens in any case, and is slower
        _LOG.warning("a segment of %d rows is searched on the CPU: %s", len(twin.vectors), error)
        return twin


def _built(
    blocks: Sequence[Floats], spec: CollectionSpec, between: Callable[[int], None], memory: int | None, *, gpu: bool
) -> Flat | Hnsw | Ivf:
    rows, cuvs = sum(map(len, blocks)), gpu and device.cuvs()
    plan = choose(rows, spec, memory=memory, cuvs=cuvs)
    if plan.kind == "flat":
        return Flat.build(blocks, spec)
    if plan.kind in ("ivf_flat", "ivf_pq"):
        return Ivf.build(blocks, spec, plan, between, gpu=gpu)
    return cagra.build(blocks, spec, plan, between) if cuvs else Hnsw.build(blocks, rows, spec, plan, between)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """OpenMP's number is that of the calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

"""Indexes on the process's first GPU: a copy of one on the CPU, which stays its twin.

The twin is what is calibrated, saved, filtered and asked for more than a GPU can do. A GPU index is not safe under
concurrent calls, even reads, so each has its own resources and lock; it ignores selectors, so it never gets one.
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import faiss

from actors.vectors.found import Found
from actors.vectors.indexes.flat import Flat
from actors.vectors.indexes.ivf import Ivf, probes
from actors.vectors.indexes.storage import nearest
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind

MOST = 2_048
"""Neighbours, and lists, that FAISS's kernels select at once."""
_SPEED = 100
"""Distances that a GPU measures while a core measures one: about the ratio of their memory bandwidths."""


def present() -> bool:
    """Whether this build of FAISS knows GPUs and the process sees one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


@dataclass(frozen=True, eq=False)
class OnGpu:
    """`resources` must outlive `index`."""

    twin: Flat | Ivf
    index: faiss.Index
    resources: Any
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, twin: Flat | Ivf) -> Self:
        """RuntimeError where the GPU has not enough memory."""
        resources = faiss.StandardGpuResources()
        return cls(twin, faiss.index_cpu_to_gpu(resources, 0, twin.index), resources)

    @property
    def kind(self) -> IndexKind:
        return self.twin.kind

    @property
    def vectors(self) -> Floats:
        return self.twin.vectors

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        if max(k, tuning.nprobe or 0) > MOST:
            return self.twin.search(queries, k, tuning)
        parameters = probes(tuning.nprobe) if tuning.nprobe else None
        with self.lock:
            return nearest(self.index, queries, k, self.twin.spec.metric, parameters)

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        return self.twin.tuned(tuning, k, wide, share)

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, twin=self.twin.retuned(spec))

    def cost(self, tuning: Tuning, k: int) -> float:
        return self.twin.cost(tuning, k) / _SPEED

    def save(self, directory: Path) -> None:
        self.twin.save(directory)

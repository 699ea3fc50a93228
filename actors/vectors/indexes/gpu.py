"""Indexes on the process's first GPU: a copy of one on the CPU, which stays its twin.

The twin is what is calibrated, saved, filtered and asked for more than a GPU can do. A GPU index is not safe under
concurrent calls, even reads, so each has a lock; it ignores selectors, so it never gets one.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import faiss
import numpy as np

from actors.vectors.found import Found
from actors.vectors.indexes import cagra, device
from actors.vectors.indexes.flat import Flat
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.ivf import Ivf, probes
from actors.vectors.indexes.storage import nearest
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind

MOST = 2_048
"""Neighbours, and lists, that FAISS's kernels select at once."""
_SPEED = 100
"""Distances of a scan that a GPU measures while a core measures one: about the ratio of their memory bandwidths. A walk
waits for one row after the other on both.
"""
_CALL = 2_000
"""The same while a GPU is called and answers: about 0.1 ms. Filters that leave fewer rows are measured on the host."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OnGpu:
    """Of a twin that is flat, ivf_flat or cagra."""

    twin: Flat | Hnsw | Ivf
    index: faiss.Index
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, twin: Flat | Hnsw | Ivf) -> Self:
        """RuntimeError or MemoryError where the GPU has not enough memory."""
        return cls(twin, device.copied(twin.graph if isinstance(twin, Hnsw) else twin.index))

    @property
    def kind(self) -> IndexKind:
        return self.twin.kind

    @property
    def vectors(self) -> Floats:
        return self.twin.vectors

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        if self._takes(k, tuning):
            try:
                return self._found(queries, k, self._parameters(k, tuning))
            except (RuntimeError, MemoryError) as error:  # another process may have the memory that the batch takes
                _LOG.warning("%d searches go to the CPU: %s", len(queries), error)
        return self.twin.search(queries, k, tuning)

    def _takes(self, k: int, tuning: Tuning) -> bool:
        if isinstance(self.twin, Hnsw):
            return cagra.width(k, tuning) <= cagra.WIDEST
        return max(k, (tuning.nprobe or 1) if isinstance(self.twin, Ivf) else 1) <= MOST

    def _parameters(self, k: int, tuning: Tuning) -> faiss.SearchParameters | None:
        if isinstance(self.twin, Hnsw):
            return cagra.walking(cagra.width(k, tuning))
        return probes(tuning.nprobe or 1) if isinstance(self.twin, Ivf) else None

    def _found(self, queries: Floats, k: int, parameters: faiss.SearchParameters | None) -> Found:
        with self.lock:
            found = nearest(self.index, queries, k, self.twin.spec.metric, parameters)
        missing = found.rows >= len(self.vectors)  # CAGRA's number of what it did not find is 2^32 - 1
        found.rows[missing], found.scores[missing] = -1, -np.inf
        return found

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        return self.twin.tuned(tuning, k, wide, share)

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, twin=self.twin.retuned(spec))

    def cost(self, tuning: Tuning, k: int) -> float:
        cost = self.twin.cost(tuning, k)
        return cost if isinstance(self.twin, Hnsw) else _CALL + cost / _SPEED

    def save(self, directory: Path) -> None:
        self.twin.save(directory)

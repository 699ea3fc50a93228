"""IVF: vectors in inverted lists, whole or as product codes (Jegou et al., TPAMI 2011) that are measured again.

The lists are in memory; the raw vectors in the order of the rows are mapped from their file, so that they cost memory
only while they are read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import faiss
import numpy as np

from actors.vectors.found import Found
from actors.vectors.indexes.calibration import Sample, curve_of, draw
from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.indexes.lists import fill, numbers_in, on_device, probing, quantizer_of
from actors.vectors.indexes.receipt import Receipt
from actors.vectors.indexes.storage import METRICS, map_vectors, nearest, save_vectors, scores_of, whole
from actors.vectors.indexes.tuning import MEASURED, Curve
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.index_choice import BITS
from control.specs.index_plan import IndexPlan

LISTS = "lists.faiss"
_CANDIDATES = 3_200
"""At most so many are measured again while a product quantiser is calibrated."""


@dataclass(frozen=True, eq=False)
class Ivf:
    """`rerank` is the number of candidates that are measured again: None where the lists hold whole vectors."""

    kind: Literal["ivf_flat", "ivf_pq"]
    index: faiss.IndexIVF
    vectors: Floats
    spec: CollectionSpec
    nprobe: Curve
    rerank: Curve | None

    @classmethod
    def build(
        cls,
        blocks: Sequence[Floats],
        spec: CollectionSpec,
        plan: IndexPlan,
        between: Callable[[int], None],
        *,
        gpu: bool,
    ) -> Self:
        """With `gpu` rows find their lists on it: RuntimeError or MemoryError where it has not enough memory."""
        vectors = whole(blocks)
        quantizer = quantizer_of(vectors, plan.nlist, spec.metric, lambda: between(0), gpu=gpu)
        sample = draw(vectors, spec.metric, lambda: between(0))
        index = _empty(plan, quantizer, spec)
        fill(index, on_device(quantizer, gpu=gpu), vectors, between)
        nprobe = probing(quantizer, numbers_in(index), sample)
        flat = cls("ivf_flat", index, vectors, spec, nprobe, None)
        if plan.kind == "ivf_flat":
            return flat
        rerank = _reranking(index, sample, spec, nprobe)
        if not rerank.reaches(_both(spec.index.target_recall)):
            # Codes of what is left after the centroid tell rows of a tight cluster apart, and take longer to scan.
            index = _empty(plan, quantizer, spec, residual=True)
            fill(index, quantizer, vectors, between)
            rerank = _reranking(index, sample, spec, nprobe)
        return dataclasses.replace(flat, kind="ivf_pq", index=index, rerank=rerank)

    @classmethod
    def load(cls, directory: Path, receipt: Receipt, spec: CollectionSpec) -> Self:
        vectors = map_vectors(directory, receipt.rows, spec.dimension)
        try:
            index = faiss.read_index(str(directory / LISTS))
        except RuntimeError as error:
            raise IndexDamaged(f"{directory / LISTS}: {error}") from error
        if not isinstance(index, faiss.IndexIVF) or (index.ntotal, index.d) != vectors.shape:
            found = f"{type(index).__name__} of {index.ntotal} x {index.d}"
            raise IndexDamaged(f"{directory / LISTS}: found {found}, expected IVF of {vectors.shape}")
        nprobe, rerank = receipt.curves["nprobe"], receipt.curves.get("rerank")
        kind: Literal["ivf_flat", "ivf_pq"] = "ivf_flat" if rerank is None else "ivf_pq"
        return cls(kind, index, vectors, spec, nprobe, rerank)

    def save(self, directory: Path) -> None:
        save_vectors(directory, self.vectors)
        faiss.write_index(self.index, str(directory / LISTS))
        curves = {"nprobe": self.nprobe} | ({"rerank": self.rerank} if self.rerank else {})
        Receipt(self.kind, len(self.vectors), self.spec.dimension, self.spec.metric, curves).write(directory)

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        found = nearest(self.index, queries, self._width(k, tuning), self.spec.metric, probes(tuning.nprobe or 1))
        return self._measured_again(queries, found, k)

    def _width(self, k: int, tuning: Tuning) -> int:
        return k * (tuning.rerank or 1) if self.rerank else k

    def _measured_again(self, queries: Floats, found: Found, k: int) -> Found:
        if self.rerank is None:
            return found
        scores = scores_of(queries, self.vectors, found.rows, self.spec.metric)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Found(np.take_along_axis(found.rows, best, axis=1), np.take_along_axis(scores, best, axis=1))

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        spec, k = self.spec.index, max(k, wide)
        target = spec.target_recall if self.rerank is None else _both(spec.target_recall)
        nprobe = tuning.nprobe or spec.nprobe or self.nprobe.least(target, k)
        rerank = tuning.rerank or spec.rerank
        if self.rerank is not None and rerank is None:
            rerank = math.ceil(self.rerank.least(target, k) / k)
        return dataclasses.replace(tuning, nprobe=min(nprobe, self.index.nlist), rerank=rerank)

    def retuned(self, spec: CollectionSpec) -> Self:
        return dataclasses.replace(self, spec=spec)

    def cost(self, tuning: Tuning, k: int) -> float:
        scanned: float = self.index.nlist + (tuning.nprobe or 1) * len(self.vectors) / self.index.nlist
        if self.rerank is None:
            return scanned
        return scanned / 4 + self._width(k, tuning)


def _empty(
    plan: IndexPlan, quantizer: faiss.IndexFlat, spec: CollectionSpec, *, residual: bool = False
) -> faiss.IndexIVF:
    shape = quantizer, spec.dimension, plan.nlist
    metric = METRICS[spec.metric]
    if plan.kind == "ivf_flat":
        return faiss.IndexIVFFlat(*shape, metric)
    made = faiss.IndexIVFPQFastScan if plan.bits == BITS else faiss.IndexIVFPQ
    index = made(*shape, plan.subvectors, plan.bits, metric)
    index.by_residual = residual
    index.pq.cp.min_points_per_centroid = 1
    return index


def _both(target: float) -> float:
    """What the lists miss and what the codes misjudge add up: each may take half of what the target leaves."""
    return (1 + target) / 2


@lru_cache(maxsize=256)
def probes(nprobe: int) -> faiss.SearchParametersIVF:
    return faiss.SearchParametersIVF(nprobe=nprobe)


def _reranking(index: faiss.IndexIVFPQ, sample: Sample, spec: CollectionSpec, nprobe: Curve) -> Curve:
    """Recall by the number of candidates, where hardly a list is missed; rows that were drawn count among them."""
    most = min(_CANDIDATES, index.ntotal)
    parameters = probes(nprobe.least(0.999, MEASURED[-1]))
    found = nearest(index, sample.queries, most, spec.metric, parameters).rows
    needed = np.full(sample.neighbours.shape, most + 1, np.int64)
    for at, (rows, neighbours) in enumerate(zip(found, sample.neighbours, strict=True)):
        order = np.argsort(rows, kind="stable")
        place = np.minimum(np.searchsorted(rows, neighbours, sorter=order), most - 1)
        needed[at] = np.where(rows[order[place]] == neighbours, order[place] + 1, most + 1)
    return curve_of(needed, most)

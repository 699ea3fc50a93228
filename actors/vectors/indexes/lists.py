"""Inverted lists: vectors by the nearest of `nlist` centroids, of which a search scans the nearest few (IVF)."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from actors.vectors.indexes import device
from actors.vectors.indexes.calibration import Sample, curve_of
from actors.vectors.indexes.storage import METRICS
from actors.vectors.indexes.tuning import Curve
from actors.vectors.rows import Floats
from control.specs.collection import Metric

ListNumbers = NDArray[np.int32]
SLICE = 16_384
"""Rows that are added at once."""
_ITERATIONS = 10
_A_LIST = 64
"""Rows that each centroid is trained on; more change little."""
_CODED = 16_384
"""Rows that product quantisers are trained on."""


def quantizer_of(
    vectors: Floats, nlist: int, metric: Metric, between: Callable[[], None], *, gpu: bool
) -> faiss.IndexFlat:
    """`nlist` centroids, by k-means in steps that can be stopped between. On a GPU it is the search for the nearest
    centroid that runs there: all but a few of the operations.
    """
    rows = _some(vectors, nlist * _A_LIST)
    centroids = _some(rows, nlist)
    finder = on_device(faiss.IndexFlat(rows.shape[1], METRICS[metric]), gpu=gpu)
    for _ in range(_ITERATIONS):
        between()
        kmeans = faiss.Kmeans(rows.shape[1], nlist, niter=1, min_points_per_centroid=1, spherical=metric != "l2")
        kmeans.index = finder
        kmeans.train(rows, init_centroids=centroids)
        centroids = kmeans.centroids
    quantizer = faiss.IndexFlat(rows.shape[1], METRICS[metric])
    quantizer.add(centroids)
    return quantizer


def on_device(quantizer: faiss.IndexFlat, *, gpu: bool) -> faiss.Index:
    """RuntimeError or MemoryError where the GPU has not enough memory."""
    return device.copied(quantizer) if gpu else quantizer


def fill(index: faiss.IndexIVF, finder: faiss.Index, vectors: Floats, between: Callable[[int], None]) -> None:
    """Trains what codes vectors, and adds all of them. `finder` finds the list of each: the index's quantiser, or its
    copy on a GPU. Training stays here: 16,384 rows on 16 centroids for each part of a vector take a second or two, of
    200,000 rows k-means and their lists 9 to 40.
    """
    index.train(_some(vectors, _CODED))
    quantizer, index.quantizer = index.quantizer, finder
    try:
        for at in range(0, len(vectors), SLICE):
            between(index.ntotal)
            index.add(vectors[at : at + SLICE])
    finally:
        index.quantizer = quantizer


def _some(vectors: Floats, most: int) -> Floats:
    """Rows drawn from all, alike each time."""
    rows = np.random.default_rng(1).choice(len(vectors), min(most, len(vectors)), replace=False)
    return vectors[np.sort(rows)]


def numbers_in(index: faiss.IndexIVF) -> ListNumbers:
    """In which list each row is, (n,)."""
    numbers = np.empty(index.ntotal, np.int32)
    for number in range(index.nlist):
        size = index.invlists.list_size(number)
        if size:
            numbers[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return numbers


def probing(quantizer: faiss.IndexFlat, numbers: ListNumbers, sample: Sample) -> Curve:
    """Recall by `nprobe`: a neighbour is found when its list is among so many nearest ones."""
    order = quantizer.search(sample.queries, quantizer.ntotal)[1]
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(quantizer.ntotal)[None, :], axis=1)
    needed = np.take_along_axis(ranks, numbers[sample.neighbours].astype(np.int64), axis=1) + 1
    return curve_of(needed, quantizer.ntotal)

"""What no index may lose by a filter: nearly all true neighbours, however many rows match and wherever they lie."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.indexes import device as real
from actors.vectors.indexes.index import Index
from actors.vectors.metadata.indexed import make_columns
from actors.vectors.query import Tuning
from actors.vectors.scan import scan
from actors.vectors.segment_search import search_segment
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import Range
from control.specs.vector_index import Device, IndexKind, IndexSpec
from tests.actors.vectors.indexes.near import opened
from tests.actors.vectors.indexes.stand_in import StandIn

ROWS, DIMENSION, K = 4_000, 16, 10
SELECTIVITIES = (0.95, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
RANDOM = np.random.default_rng(11)
CENTRES = RANDOM.normal(size=(20, DIMENSION)) * 2
VECTORS = (CENTRES[RANDOM.integers(0, 20, ROWS)] + RANDOM.normal(size=(ROWS, DIMENSION))).astype(np.float32)
QUERIES = (VECTORS[:1] + RANDOM.normal(size=(40, DIMENSION)) * 0.5).astype(np.float32)
NEAR = np.argsort(np.argsort(((VECTORS - QUERIES[0]) ** 2).sum(1)))
RANKS = {"random": RANDOM.permutation(ROWS), "near": NEAR, "far": ROWS - 1 - NEAR}


@cache
def built(kind: IndexKind, device: Device) -> tuple[Index, CollectionSpec]:
    fields = tuple(MetadataField(name=name, type="integer") for name in RANKS)
    spec = CollectionSpec(dimension=DIMENSION, metric="l2", fields=fields, index=IndexSpec(kind=kind, device=device))
    with TemporaryDirectory() as directory:
        return opened(VECTORS, spec, Path(directory)), spec


@pytest.mark.parametrize(
    ("kind", "device"),
    [*product(["flat", "hnsw", "ivf_flat", "ivf_pq"], ["cpu"]), *product(["flat", "ivf_flat", "cagra"], ["gpu"])],
)
@pytest.mark.parametrize("lie", RANKS)
@pytest.mark.parametrize("together", [1, 40])
def test_of_a_hundred_true_neighbours_ninety_nine_are_found(
    kind: IndexKind, device: Device, lie: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "gpu" and not real.cuvs():
        StandIn().install(monkeypatch)
    index, spec = built(kind, device)
    columns = make_columns(pa.table(RANKS), spec)
    for share in SELECTIVITIES:
        allowed = max(1, int(ROWS * share))
        where = Range(lie, None, allowed, high_open=True)
        true = scan(VECTORS, RANKS[lie] < allowed, QUERIES, K, "l2")
        hits = 0
        for start in range(0, len(QUERIES), together):
            asked = QUERIES[start : start + together]
            found = search_segment(index, None, columns, asked, K, where, Tuning(), "l2")
            assert ((found.rows >= 0).sum(1) == min(K, allowed)).all()
            least = true.scores[start : start + together, min(K, allowed) - 1, None] * (1 + 1e-5)
            hits += int((found.scores[:, : min(K, allowed)] >= least).sum())
        assert hits >= 0.99 * min(K, allowed) * len(QUERIES), f"{share:.1%} of the rows"

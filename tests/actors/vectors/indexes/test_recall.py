"""The default's recall on a data set that is given: `BIPLANE_ANN=mnist784.npz`, of base, queries and gt_ids."""

from __future__ import annotations

import os

import numpy as np
import pytest

from actors.vectors.indexes.build import build_index
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind, IndexSpec

FILE = os.environ.get("BIPLANE_ANN", "")
KINDS: list[IndexKind] = ["auto", "hnsw", "ivf_flat", "ivf_pq"]


@pytest.mark.skipif(not FILE, reason="BIPLANE_ANN names no data set")
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_finds_ninety_nine_of_a_hundred(kind: IndexKind) -> None:
    data = np.load(FILE)
    base, queries = (np.ascontiguousarray(data[name], np.float32) for name in ("base", "queries"))
    index = build_index([base], CollectionSpec(dimension=base.shape[1], metric="l2", index=IndexSpec(kind=kind)))
    for k in (10, 100):
        rows = index.search(queries, k, index.tuned(Tuning(), k)).rows
        hits = [len(np.intersect1d(*pair)) for pair in zip(rows, data["gt_ids"][:, :k], strict=True)]
        assert np.mean(hits) >= 0.99 * k

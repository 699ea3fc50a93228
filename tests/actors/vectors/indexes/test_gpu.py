"""A GPU's index answers as its twin on the CPU, which stands in where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from actors.vectors.indexes import gpu
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.gpu import MOST, OnGpu
from actors.vectors.indexes.ivf import Ivf
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind, IndexSpec
from tests.actors.vectors.indexes.near import points, recall, truth

KINDS: list[IndexKind] = ["flat", "ivf_flat"]


def spec_of(kind: IndexKind) -> CollectionSpec:
    return CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind=kind, device="gpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_collection_for_a_gpu_is_searched_whether_there_is_one_or_not(tmp_path: Path, kind: IndexKind) -> None:
    vectors, queries = points("clusters", 3_000)
    index = build_index([vectors], spec_of(kind))
    index.save(tmp_path)
    for one in (index, load_index(tmp_path, spec_of(kind))):
        assert isinstance(one, OnGpu) == gpu.present()
        assert one.kind == kind
        for k in (10, 40, MOST + 1):
            found = one.search(queries, k, one.tuned(Tuning(), k))
            assert recall(found, truth(vectors, queries, k, "l2")) >= 0.99, k


class Recorder:
    """Stands for an index on a GPU: notes what it is asked."""

    def __init__(self, index: faiss.Index) -> None:
        self.index, self.d, self.asked = index, index.d, list[tuple[int, Any]]()

    def search(self, queries: Any, k: int, params: Any = None) -> Any:
        self.asked.append((k, params))
        return self.index.search(queries, k, params=params)


def test_a_gpu_is_never_given_a_selector_or_more_than_its_kernels_select() -> None:
    vectors, queries = points("clusters", 3_000, 8)
    twin = build_index([vectors], CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind="ivf_flat")))
    assert isinstance(twin, Ivf)
    recorder = Recorder(twin.index)
    index = OnGpu(twin, recorder, None)
    tuning = index.tuned(Tuning(), 10)
    assert np.array_equal(index.search(queries, 10, tuning).rows, twin.search(queries, 10, tuning).rows)
    index.search(queries, MOST + 1, tuning)
    assert [k for k, _ in recorder.asked] == [10]
    assert recorder.asked[0][1].sel is None
    assert recorder.asked[0][1].nprobe == tuning.nprobe

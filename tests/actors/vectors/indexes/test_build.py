"""Building and opening indexes, whatever their kind."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.gpu import OnGpu
from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import Device, IndexSpec
from tests.actors.vectors.indexes.near import opened, points, recall, truth


class Stopped(Exception):
    pass


def test_a_small_segment_is_scanned_exactly() -> None:
    vectors, queries = points("uniform", 500)
    index = build_index([vectors], CollectionSpec(dimension=32, metric="l2"))
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert index.kind == "flat"
    assert recall(found, truth(vectors, queries, 10, "l2")) == 1.0
    assert np.shares_memory(index.vectors, vectors), "the rows are there once"


def test_where_there_are_fewer_rows_than_k_the_rest_is_marked() -> None:
    vectors, queries = points("uniform", 3, 2)
    found = build_index([vectors], CollectionSpec(dimension=32, metric="l2")).search(queries, 5, Tuning())
    assert (found.rows[:, 3:] == -1).all()
    assert np.isneginf(found.scores[:, 3:]).all()
    assert np.isfinite(found.scores[:, :3]).all()


def test_scores_are_nearness() -> None:
    vectors = np.array([[3, 4], [1, 0]], np.float32)
    query = np.array([[1, 0]], np.float32)
    l2 = build_index([vectors], CollectionSpec(dimension=2, metric="l2")).search(query, 2, Tuning())
    ip = build_index([vectors], CollectionSpec(dimension=2, metric="ip")).search(query, 2, Tuning())
    assert (l2.rows.tolist(), l2.scores.tolist()) == ([[1, 0]], [[0, -20]])
    assert (ip.rows.tolist(), ip.scores.tolist()) == ([[0, 1]], [[3, 1]])


def test_queries_of_another_dimension_are_refused() -> None:
    index = build_index([points("uniform", 10, 0)[0]], CollectionSpec(dimension=32, metric="l2"))
    with pytest.raises(ValueError, match="dimension 16, expected 32"):
        index.search(np.zeros((1, 16), np.float32), 1, Tuning())


def test_a_build_ends_when_it_is_told_to_and_gives_the_threads_back() -> None:
    vectors, _ = points("uniform", 20_000, 0)
    done: list[int] = []

    def between(rows: int) -> None:
        done.append(rows)
        if rows:
            raise Stopped

    faiss.omp_set_num_threads(2)
    with pytest.raises(Stopped):
        build_index([vectors], CollectionSpec(dimension=32, metric="l2"), threads=1, between=between)
    assert 0 < done[-1] < 20_000
    assert faiss.omp_get_max_threads() == 2


def test_an_index_of_another_collection_is_not_opened(tmp_path: Path) -> None:
    build_index([points("uniform", 10, 0)[0]], CollectionSpec(dimension=32, metric="l2")).save(tmp_path)
    with pytest.raises(IndexDamaged, match="found dimension 32 and metric l2, expected 64 and l2"):
        load_index(tmp_path, CollectionSpec(dimension=64, metric="l2"))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_a_flat_index_is_searched_in_its_file(tmp_path: Path, device: Device, metric: Metric) -> None:
    vectors, queries = points("uniform", 3_000)
    spec = CollectionSpec(dimension=32, metric=metric, index=IndexSpec(kind="flat", device=device))
    index = opened(vectors, spec, tmp_path)
    assert isinstance(index, OnGpu) == (device == "gpu")
    for k in (1, 10, 2_500):
        found = index.search(queries, k, index.tuned(Tuning(nprobe=3_000), k))
        assert recall(found, truth(vectors, queries, k, metric)) == 1.0, k

"""CAGRA: a graph from a GPU, walked there and on its twin. Without a GPU and cuVS a stand-in builds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.vectors.indexes import device as real
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.gpu import OnGpu
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import IndexSpec
from tests.actors.vectors.indexes.near import opened, points, recall, truth
from tests.actors.vectors.indexes.stand_in import NOT_FOUND, StandIn

CAGRA = IndexSpec(kind="cagra", device="gpu")
SETS: list[tuple[str, Metric]] = [("clusters", "l2"), ("directions", "cosine"), ("lengths", "ip")]


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    if not real.cuvs():
        StandIn().install(monkeypatch)


@pytest.mark.parametrize(("name", "metric"), SETS)
def test_a_graph_is_walked_where_it_was_built_and_by_its_twin(name: str, metric: Metric, tmp_path: Path) -> None:
    vectors, queries = points(name, 3_000)
    index = opened(vectors, CollectionSpec(dimension=vectors.shape[1], metric=metric, index=CAGRA), tmp_path)
    assert isinstance(index, OnGpu)
    assert index.kind == "cagra"
    for k in (1, 10, 40, 600):
        true = truth(vectors, queries, k, metric)
        for one in (index, index.twin):
            assert recall(one.search(queries, k, one.tuned(Tuning(), k)), true) >= 0.99, (k, one)


def test_a_graph_is_searched_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = points("clusters", 3_000)
    spec = CollectionSpec(dimension=48, metric="l2", index=CAGRA)
    build_index([vectors], spec).save(tmp_path)
    monkeypatch.setattr(real, "present", lambda: False)
    index = load_index(tmp_path, spec)
    assert isinstance(index, Hnsw)
    assert index.kind == "cagra"
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert recall(found, truth(vectors, queries, 10, "l2")) >= 0.99


def test_a_collection_that_is_restored_onto_cpus_leaves_the_gpu_alone(tmp_path: Path) -> None:
    vectors, _ = points("clusters", 3_000, 0)
    build_index([vectors], CollectionSpec(dimension=48, metric="l2", index=CAGRA)).save(tmp_path)
    assert isinstance(load_index(tmp_path, CollectionSpec(dimension=48, metric="l2")), Hnsw)


def test_the_links_of_hnsw_are_as_many_as_it_asks_for(gpu: StandIn) -> None:
    vectors, _ = points("clusters", 3_000, 0)
    hnsw = IndexSpec(kind="hnsw", device="gpu", m=24)
    index = build_index([vectors[:7], vectors[7:]], CollectionSpec(dimension=48, metric="l2", index=hnsw))
    assert isinstance(index, Hnsw)
    assert index.kind == "hnsw"
    assert gpu.graphs == [(3_000, 48)]
    assert np.array_equal(index.vectors, vectors)


class Forgetful:
    """A walk that came upon one row."""

    d = 2

    def search(self, queries: object, k: int, params: object = None) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[1.0, 3e38]], np.float32), np.array([[0, NOT_FOUND]])


def test_what_a_walk_did_not_find_is_marked_as_everywhere() -> None:
    vectors, _ = points("clusters", 3_000, 0)
    twin = build_index([vectors], CollectionSpec(dimension=48, metric="l2", index=CAGRA))
    assert isinstance(twin, Hnsw)
    found = OnGpu(twin, Forgetful()).search(np.zeros((1, 2), np.float32), 2, Tuning(ef_search=10))
    assert found.rows.tolist() == [[0, -1]]
    assert found.scores.tolist() == [[-1.0, -np.inf]]

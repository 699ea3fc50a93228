"""HNSW over the data sets that fixed parameters fail on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.indexes.index import IndexDamaged
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import Device, IndexSpec
from tests.actors.vectors.indexes.near import opened, points, recall, truth

HNSW = IndexSpec(kind="hnsw")
SETS: list[tuple[str, Metric]] = [
    ("clusters", "l2"),
    ("uniform", "l2"),
    ("sift", "l2"),
    ("directions", "cosine"),
    ("lengths", "ip"),
]


@pytest.mark.parametrize(("name", "metric"), SETS)
def test_the_target_recall_holds_for_queries_that_the_index_has_not_seen(
    name: str, metric: Metric, device: Device, tmp_path: Path
) -> None:
    vectors, queries = points(name, 3_000)
    hnsw = IndexSpec(kind="hnsw", device=device)
    index = opened(vectors, CollectionSpec(dimension=vectors.shape[1], metric=metric, index=hnsw), tmp_path)
    assert isinstance(index, Hnsw), "no GPU walks it, whatever built it"
    assert index.kind == "hnsw"
    for k in (1, 10, 40):
        found = index.search(queries, k, index.tuned(Tuning(), k))
        assert recall(found, truth(vectors, queries, k, metric)) >= 0.99, k


def test_a_higher_target_searches_wider_without_another_build() -> None:
    vectors, _ = points("uniform", 3_000, 0)
    spec = CollectionSpec(dimension=32, metric="l2", index=HNSW)
    index = build_index([vectors], spec)
    higher = index.retuned(spec.model_copy(update={"index": IndexSpec(kind="hnsw", target_recall=0.999)}))
    wider, usual = higher.tuned(Tuning(), 10).ef_search, index.tuned(Tuning(), 10).ef_search
    assert wider is not None
    assert usual is not None
    assert wider > usual
    assert np.shares_memory(index.vectors, higher.vectors)
    fixed = index.retuned(spec.model_copy(update={"index": IndexSpec(kind="hnsw", ef_search=77)}))
    assert fixed.tuned(Tuning(), 10).ef_search == 77
    assert fixed.tuned(Tuning(ef_search=50), 10).ef_search == 50
    assert fixed.tuned(Tuning(), 100).ef_search == 100, "fewer candidates than k could not fill the answer"


def test_what_was_saved_finds_the_same(tmp_path: Path, device: Device) -> None:
    vectors, queries = points("clusters", 3_000)
    spec = CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind="hnsw", device=device))
    built = build_index([vectors[:1000], vectors[1000:]], spec, threads=1)
    built.save(tmp_path)
    loaded = load_index(tmp_path, spec)
    assert np.array_equal(built.vectors, vectors)
    assert np.array_equal(loaded.vectors, vectors)
    tuning = loaded.tuned(Tuning(), 10)
    assert tuning == built.tuned(Tuning(), 10)
    before, after = built.search(queries, 10, tuning), loaded.search(queries, 10, tuning)
    assert np.array_equal(before.rows, after.rows)
    assert np.array_equal(before.scores, after.scores)


def test_calibrating_leaves_every_link_as_it_was(tmp_path: Path) -> None:
    vectors, _ = points("uniform", 2_500, 0)
    index = build_index([vectors], CollectionSpec(dimension=32, metric="l2", index=HNSW))
    found = index.search(vectors, 1, Tuning(ef_search=64))
    assert (found.rows[:, 0] == np.arange(2_500)).mean() >= 0.999, "each row finds itself again"


@pytest.mark.parametrize("name", ["graph.faiss", "vectors.npy", "index.json"])
def test_a_file_that_was_cut_is_named(tmp_path: Path, name: str) -> None:
    vectors, _ = points("uniform", 2_500, 0)
    spec = CollectionSpec(dimension=32, metric="l2", index=HNSW)
    build_index([vectors], spec).save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IndexDamaged, match=name):
        load_index(tmp_path, spec)
    (tmp_path / name).unlink()
    with pytest.raises(IndexDamaged, match=name):
        load_index(tmp_path, spec)

"""IVF, whole vectors or product codes, over the data sets that fixed parameters fail on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.gpu import OnGpu
from actors.vectors.indexes.index import Index, IndexDamaged
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import Device, IndexKind, IndexSpec
from tests.actors.vectors.indexes.near import opened, points, recall, truth

ROWS = 3_000
KINDS: list[IndexKind] = ["ivf_flat", "ivf_pq"]
SETS: list[tuple[str, Metric]] = [("clusters", "l2"), ("uniform", "l2"), ("directions", "cosine"), ("lengths", "ip")]


def built(name: str, metric: Metric, kind: IndexKind) -> Index:
    vectors, _ = points(name, ROWS, 200)
    return build_index([vectors], CollectionSpec(dimension=vectors.shape[1], metric=metric, index=IndexSpec(kind=kind)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "metric"), SETS)
def test_the_target_recall_holds(name: str, metric: Metric, kind: IndexKind, device: Device, tmp_path: Path) -> None:
    vectors, queries = points(name, ROWS, 200)
    on_it = IndexSpec(kind=kind, device=device)
    index = opened(vectors, CollectionSpec(dimension=vectors.shape[1], metric=metric, index=on_it), tmp_path)
    assert index.kind == kind
    assert isinstance(index, OnGpu) == (device == "gpu" and kind == "ivf_flat"), "codes are scanned on a CPU"
    for k in (1, 10, 40):
        found = index.search(queries, k, index.tuned(Tuning(), k))
        assert recall(found, truth(vectors, queries, k, metric)) >= 0.99, k


def test_codes_of_a_tight_cluster_are_told_apart(device: Device) -> None:
    random = np.random.default_rng(9)
    centres = 40 * random.normal(size=(2, 32))
    made = (centres[random.integers(0, 2, 12_100)] + 0.01 * random.normal(size=(12_100, 32))).astype(np.float32)
    vectors, queries = made[:12_000].copy(), made[12_000:].copy()
    spec = CollectionSpec(dimension=32, metric="l2", index=IndexSpec(kind="ivf_pq", device=device))
    index = build_index([vectors], spec)
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert recall(found, truth(vectors, queries, 10, "l2")) >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_finds_the_same(tmp_path: Path, kind: IndexKind, device: Device) -> None:
    vectors, queries = points("clusters", ROWS, 60)
    spec = CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind=kind, device=device))
    index = build_index([vectors[:1000], vectors[1000:]], spec)
    index.save(tmp_path)
    loaded = load_index(tmp_path, spec)
    assert loaded.kind == kind
    assert np.array_equal(loaded.vectors, vectors)
    tuning = loaded.tuned(Tuning(), 10)
    assert tuning == index.tuned(Tuning(), 10)
    before, after = index.search(queries, 10, tuning), loaded.search(queries, 10, tuning)
    assert np.array_equal(before.rows, after.rows)


def test_a_wider_search_of_a_single_query_goes_before_the_collection_s() -> None:
    index = built("uniform", "l2", "ivf_pq")
    assert index.tuned(Tuning(nprobe=3, rerank=7), 10) == Tuning(nprobe=3, rerank=7)
    assert index.tuned(Tuning(nprobe=10_000), 10).nprobe == ROWS // 39, "there are no more lists"
    assert index.cost(Tuning(nprobe=3, rerank=7), 10) < index.cost(Tuning(nprobe=30, rerank=7), 10) < ROWS


def test_a_file_that_was_cut_is_named(tmp_path: Path) -> None:
    index = built("uniform", "l2", "ivf_flat")
    index.save(tmp_path)
    whole = (tmp_path / "lists.faiss").read_bytes()
    (tmp_path / "lists.faiss").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IndexDamaged, match=r"lists\.faiss"):
        load_index(tmp_path, CollectionSpec(dimension=32, metric="l2", index=IndexSpec(kind="ivf_flat")))

"""IVF, whole vectors or product codes, over the data sets that fixed parameters fail on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.vectors.found import Mask
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.index import Index, IndexDamaged
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec, Metric
from control.specs.vector_index import IndexKind, IndexSpec
from tests.actors.vectors.indexes.near import points, recall, truth

ROWS = 3_000
KINDS: list[IndexKind] = ["ivf_flat", "ivf_pq"]
SETS: list[tuple[str, Metric]] = [("clusters", "l2"), ("uniform", "l2"), ("directions", "cosine"), ("lengths", "ip")]


def built(name: str, metric: Metric, kind: IndexKind) -> tuple[Index, Floats, Floats]:
    vectors, queries = points(name, ROWS, 200)
    spec = CollectionSpec(dimension=vectors.shape[1], metric=metric, index=IndexSpec(kind=kind))
    return build_index([vectors], spec), vectors, queries


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "metric"), SETS)
def test_the_target_recall_holds_with_filters_of_every_shape_and_without(
    name: str, metric: Metric, kind: IndexKind
) -> None:
    index, vectors, queries = built(name, metric, kind)
    assert index.kind == kind
    for k in (1, 10, 40):
        found = index.search(queries, k, index.tuned(Tuning(), k))
        assert recall(found, truth(vectors, queries, k, metric)) >= 0.99, k
    tuning, queries = index.tuned(Tuning(), 10), queries[:60]
    answered = 0
    for shape, allowed in filters(vectors).items():
        hits = [index.search_allowed(queries[at : at + 1], 10, tuning, allowed) for at in range(len(queries))]
        worst = truth(vectors[allowed], queries, 10, metric)
        recalls = [recall(hit, worst[at : at + 1]) for at, hit in enumerate(hits) if hit is not None]
        assert all(allowed[hit.rows].all() for hit in hits if hit is not None), shape
        assert sum(recalls) >= 0.99 * len(recalls), shape
        answered += len(recalls)
    assert answered > 0 or name != "clusters", "where lists are far apart, some are answered without a scan"


def filters(vectors: Floats) -> dict[str, Mask]:
    random = np.random.default_rng(5)
    slope = vectors @ random.normal(size=vectors.shape[1])
    away = ((vectors - vectors[0]) ** 2).sum(axis=1)
    return {
        "half at random": random.random(len(vectors)) < 0.5,
        "a tenth at random": random.random(len(vectors)) < 0.1,
        "a half space": slope > np.median(slope),
        "a ball": away < np.quantile(away, 0.2),
        "all but a ball": away > np.quantile(away, 0.8),
    }


def test_a_filter_that_allows_less_than_k_rows_finds_all_of_them_or_leaves_it_to_a_scan() -> None:
    index, _, queries = built("clusters", "l2", "ivf_flat")
    allowed = np.zeros(ROWS, np.bool_)
    allowed[[5, 2_000]] = True
    hit = index.search_allowed(queries[:1], 10, index.tuned(Tuning(), 10), allowed)
    assert hit is None or set(hit.rows[0]) == {5, 2_000, -1}
    nothing = np.zeros(ROWS, np.bool_)
    none = index.search_allowed(queries[:1], 10, index.tuned(Tuning(), 10), nothing)
    assert none is None or (none.rows == -1).all()


def test_codes_of_a_tight_cluster_are_told_apart() -> None:
    random = np.random.default_rng(9)
    centres = 40 * random.normal(size=(2, 32))
    made = (centres[random.integers(0, 2, 12_100)] + 0.01 * random.normal(size=(12_100, 32))).astype(np.float32)
    vectors, queries = made[:12_000].copy(), made[12_000:].copy()
    spec = CollectionSpec(dimension=32, metric="l2", index=IndexSpec(kind="ivf_pq"))
    index = build_index([vectors], spec)
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert recall(found, truth(vectors, queries, 10, "l2")) >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_finds_the_same(tmp_path: Path, kind: IndexKind) -> None:
    vectors, queries = points("clusters", ROWS, 60)
    spec = CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind=kind))
    index = build_index([vectors[:1000], vectors[1000:]], spec)
    index.save(tmp_path)
    loaded = load_index(tmp_path, spec)
    assert loaded.kind == kind
    assert np.array_equal(loaded.vectors, vectors)
    tuning = loaded.tuned(Tuning(), 10)
    assert tuning == index.tuned(Tuning(), 10)
    before, after = index.search(queries, 10, tuning), loaded.search(queries, 10, tuning)
    assert np.array_equal(before.rows, after.rows)
    allowed = np.arange(ROWS) % 2 == 0
    masked, again = (one.search_allowed(queries, 10, tuning, allowed) for one in (index, loaded))
    assert masked is not None
    assert again is not None
    assert np.array_equal(masked.rows, again.rows)


def test_a_wider_search_of_a_single_query_goes_before_the_collection_s() -> None:
    index, _, _ = built("uniform", "l2", "ivf_pq")
    assert index.tuned(Tuning(nprobe=3, rerank=7), 10) == Tuning(nprobe=3, rerank=7)
    assert index.tuned(Tuning(nprobe=10_000), 10).nprobe == ROWS // 39, "there are no more lists"
    assert index.cost(Tuning(nprobe=3, rerank=7), 10) < index.cost(Tuning(nprobe=30, rerank=7), 10) < ROWS


def test_a_file_that_was_cut_is_named(tmp_path: Path) -> None:
    index, _, _ = built("uniform", "l2", "ivf_flat")
    index.save(tmp_path)
    whole = (tmp_path / "lists.faiss").read_bytes()
    (tmp_path / "lists.faiss").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IndexDamaged, match=r"lists\.faiss"):
        load_index(tmp_path, CollectionSpec(dimension=32, metric="l2", index=IndexSpec(kind="ivf_flat")))

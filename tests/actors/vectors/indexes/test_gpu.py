"""What a GPU is asked, and what happens where it cannot: its twin on the CPU is there in any case."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.device import SCRATCH_BYTES
from actors.vectors.indexes.gpu import MOST, OnGpu
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind, IndexSpec
from tests.actors.vectors.indexes.near import opened, points, recall, truth
from tests.actors.vectors.indexes.stand_in import StandIn

KINDS: list[IndexKind] = ["flat", "ivf_flat", "cagra"]
VECTORS, QUERIES = points("clusters", 3_000)
TRUTH = truth(VECTORS, QUERIES, 10, "l2")


def spec_of(kind: IndexKind) -> CollectionSpec:
    return CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind=kind, device="gpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_on_the_device_once_and_takes_little_beside_its_rows(
    gpu: StandIn, tmp_path: Path, kind: IndexKind
) -> None:
    build_index([VECTORS], spec_of(kind)).save(tmp_path)
    assert 3_000 not in [rows for _, rows in gpu.copied], "what is built is there to be saved"
    index = load_index(tmp_path, spec_of(kind))
    assert isinstance(index, OnGpu)
    assert [rows for _, rows in gpu.copied].count(3_000) == 1
    assert len({id(one) for one in gpu.resources}) == len(gpu.resources), "resources are never shared"
    assert all((one.scratch, one.pinned) == (SCRATCH_BYTES, 0) for one in gpu.resources)


def test_more_than_its_kernels_select_goes_to_the_twin(gpu: StandIn, tmp_path: Path) -> None:
    index = opened(VECTORS, spec_of("ivf_flat"), tmp_path)
    for k in (10, MOST + 1):
        found = index.search(QUERIES, k, index.tuned(Tuning(), k))
        assert recall(found, truth(VECTORS, QUERIES, k, "l2")) >= 0.99
    assert gpu.asked == [(len(QUERIES), 10)]


def test_two_never_search_an_index_at_once(gpu: StandIn, tmp_path: Path) -> None:
    index = opened(VECTORS, spec_of("flat"), tmp_path)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: index.search(QUERIES, 10, Tuning()), range(32)))
    assert all(recall(one, TRUTH) == 1.0 for one in found)
    assert len(gpu.asked) == 32


def test_lists_are_found_on_the_device_by_k_means_and_for_every_row(gpu: StandIn) -> None:
    build_index([VECTORS], spec_of("ivf_flat"))
    lists = 3_000 // 39
    assert gpu.copied == [("IndexFlat", 0), ("IndexFlat", lists)]


def test_small_segments_stay_where_they_are(gpu: StandIn, tmp_path: Path) -> None:
    opened(VECTORS[:2_000], spec_of("flat"), tmp_path)
    assert not gpu.copied


def test_without_cuvs_hnsw_is_built_on_the_cpu_and_cagra_is_inverted_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    StandIn().install(monkeypatch, cuvs=False)
    monkeypatch.delattr("faiss.GpuIndexCagra", raising=False)
    assert build_index([VECTORS], spec_of("hnsw")).kind == "hnsw"
    assert build_index([VECTORS], spec_of("cagra")).kind == "ivf_flat"


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_flat", "ivf_pq", "cagra"])
def test_a_device_without_memory_builds_and_holds_nothing_and_the_segment_is_searched(
    gpu: StandIn, tmp_path: Path, kind: IndexKind, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.full = True
    index = opened(VECTORS, spec_of(kind), tmp_path)
    assert not isinstance(index, OnGpu)
    assert recall(index.search(QUERIES, 10, index.tuned(Tuning(), 10)), TRUTH) >= 0.99
    assert "out of memory" in caplog.text or "bad_alloc" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_the_device_has_no_memory_for_is_answered(
    gpu: StandIn, tmp_path: Path, kind: IndexKind, caplog: pytest.LogCaptureFixture
) -> None:
    index = opened(VECTORS, spec_of(kind), tmp_path)
    assert isinstance(index, OnGpu)
    gpu.full = True
    assert recall(index.search(QUERIES, 10, index.tuned(Tuning(), 10)), TRUTH) >= 0.99
    assert "200 searches go to the CPU: alloc fail" in caplog.text

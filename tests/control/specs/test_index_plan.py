"""How much memory an index takes, held against what FAISS says of one."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from control.specs.index_plan import IndexPlan, bytes_of

ROWS, DIMENSION = 20_000, 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    faiss.omp_set_num_threads(1)
    return np.random.default_rng(0).random((ROWS, DIMENSION), np.float32)


def written(index: faiss.Index) -> int:
    return int(faiss.serialize_index(index).nbytes)


def test_an_hnsw_graph_is_as_large_as_faiss_makes_it(vectors: np.ndarray) -> None:
    index = faiss.IndexHNSWFlat(DIMENSION, 8)
    index.hnsw.efConstruction = 8
    index.add(vectors)
    assert bytes_of(IndexPlan("hnsw", m=8), ROWS, DIMENSION).host == pytest.approx(written(index), rel=0.01)


def test_inverted_lists_are_as_large_as_faiss_makes_them(vectors: np.ndarray) -> None:
    index = faiss.index_factory(DIMENSION, "IVF50,Flat")
    index.train(vectors[:2_000])
    index.add(vectors)
    size = bytes_of(IndexPlan("ivf_flat", nlist=50), ROWS, DIMENSION, gpu=True)
    assert size.host == pytest.approx(written(index) + 4 * ROWS, rel=0.01), "and 4 bytes for the list of each row"
    assert size.device == pytest.approx(written(index), rel=0.01)
    assert size.file == vectors.nbytes


def test_product_codes_are_as_large_as_faiss_makes_them(vectors: np.ndarray) -> None:
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(DIMENSION), DIMENSION, 50, 12, 4)
    index.train(vectors[:2_000])
    index.add(vectors)
    size = bytes_of(IndexPlan("ivf_pq", nlist=50, subvectors=12, bits=4), ROWS, DIMENSION)
    assert size.host == pytest.approx(written(index) + 4 * ROWS, rel=0.05), "lists are filled up to 32 codes"


def test_a_gpu_holds_what_it_searches_and_for_a_while_what_it_builds() -> None:
    raw, links = ROWS * DIMENSION * 4, ROWS * 64 * 4

    def device(plan: IndexPlan) -> int:
        return bytes_of(plan, ROWS, DIMENSION, gpu=True).device

    assert device(IndexPlan("flat")) == raw
    assert device(IndexPlan("cagra", graph_degree=64)) == raw + 3 * links, "one graph of twice the links, and its own"
    cagra, hnsw = IndexPlan("cagra", graph_degree=64), IndexPlan("hnsw", m=32)
    assert bytes_of(cagra, ROWS, DIMENSION).host == bytes_of(hnsw, ROWS, DIMENSION).host, "its twin is an HNSW index"
    assert device(IndexPlan("hnsw", m=32)) == device(IndexPlan("cagra", graph_degree=64))
    assert device(IndexPlan("ivf_pq", nlist=50, subvectors=12, bits=4)) == 50 * DIMENSION * 4
    assert bytes_of(IndexPlan("hnsw", m=32), ROWS, DIMENSION).device == 0


def test_the_issue_s_budget_for_a_million_vectors_holds() -> None:
    raw = 1_000_000 * 128 * 4
    size = bytes_of(IndexPlan("hnsw", m=16), 1_000_000, 128)
    assert size.host < 1.6 * raw
    assert size.peak + raw < 2.5 * raw

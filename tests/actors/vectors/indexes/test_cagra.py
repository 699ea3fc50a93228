"""CAGRA, as far as a machine without a GPU can tell: the twin that answers for it."""

from __future__ import annotations

from pathlib import Path

import faiss
import pytest

from actors.vectors.indexes import cagra
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.cagra import Cagra
from actors.vectors.indexes.hnsw import Hnsw
from actors.vectors.query import Tuning
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexSpec
from tests.actors.vectors.indexes.near import points, recall, truth

SPEC = CollectionSpec(dimension=48, metric="l2", index=IndexSpec(kind="cagra", device="gpu"))


def test_a_graph_of_cagra_is_searched_on_a_cpu_after_it_was_saved(tmp_path: Path) -> None:
    vectors, queries = points("clusters", 3_000)
    graph = faiss.IndexHNSWCagra(48, 16)
    graph.add(vectors)
    Hnsw.over(graph, SPEC, "cagra", lambda: None).save(tmp_path)
    index = load_index(tmp_path, SPEC)
    assert isinstance(index, Cagra) == cagra.present()
    assert index.kind == "cagra"
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert recall(found, truth(vectors, queries, 10, "l2")) >= 0.99


@pytest.mark.skipif(not cagra.present(), reason="needs a GPU, and FAISS with cuVS")
def test_a_gpu_builds_and_walks_a_graph() -> None:
    vectors, queries = points("clusters", 3_000)
    index = build_index([vectors], SPEC)
    assert isinstance(index, Cagra)
    found = index.search(queries, 10, index.tuned(Tuning(), 10))
    assert recall(found, truth(vectors, queries, 10, "l2")) >= 0.99

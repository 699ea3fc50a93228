"""LlamaIndex's vector store over a collection of real shards; runs where llama-index-core is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.specs.collection import CollectionSpec
from serve_apps.vectors.client import Vectors
from tests.fakes.vector_api import minilm, vector_api

pytest.importorskip("llama_index.core")

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from serve_apps.vectors.llamaindex_store import BiplaneVectorStore

FIELDS = [
    {"name": "text", "type": "text"},
    {"name": "_node_content", "type": "keyword", "index": False},
    {"name": "_node_type", "type": "keyword", "index": False},
    {"name": "ref_doc_id", "type": "keyword"},
    {"name": "year", "type": "integer"},
]
BODY: dict[str, Any] = {"dimension": 384, "fields": FIELDS}
SPECS = {
    "notes": CollectionSpec.model_validate(BODY),
    "far": CollectionSpec.model_validate({**BODY, "metric": "l2"}),
}
TEXTS = ["the cat sat on the mat", "stocks fell today", "a cat and a dog"]


class WordEmbedding(BaseEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return minilm([text], 1.0)[0].tolist()  # type: ignore[no-any-return]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def node(number: int) -> TextNode:
    text = TEXTS[number]
    relations = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"book{number % 2}")}
    return TextNode(
        id_=f"n{number}",
        text=text,
        embedding=minilm([text], 1.0)[0].tolist(),
        metadata={"year": 2000 + number, "page": number},
        relationships=relations,
    )


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[Vectors]:
    with vector_api(tmp_path, **SPECS) as api, Vectors(api.url, "key") as vectors:
        yield vectors


@pytest.fixture
def store(vectors: Vectors) -> BiplaneVectorStore:
    store = BiplaneVectorStore(vectors.collection("notes"))
    assert store.add([node(number) for number in range(3)]) == ["n0", "n1", "n2"]
    return store


def asked(text: str, k: int = 1, **more: Any) -> VectorStoreQuery:
    return VectorStoreQuery(minilm([text], 1.0)[0].tolist(), k, query_str=text, **more)


def where(key: str, operator: FilterOperator, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


def test_nodes_come_back_as_they_went_in(store: BiplaneVectorStore) -> None:
    found = store.query(asked("stocks"))
    assert found.ids == ["n1"]
    assert found.nodes is not None
    (one,) = found.nodes
    assert (one.node_id, one.get_content(), one.metadata, one.ref_doc_id) == (
        "n1", TEXTS[1], {"year": 2001, "page": 1}, "book1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (FilterOperator.EQ, 2001, ["n1"]),
        (FilterOperator.NE, 2001, ["n0", "n2"]),
        (FilterOperator.GT, 2001, ["n2"]),
        (FilterOperator.LTE, 2001, ["n0", "n1"]),
        (FilterOperator.IN, [2000, 2002], ["n0", "n2"]),
        (FilterOperator.NIN, [2000, 2002], ["n1"]),
    ],
)
def test_filters_hold_for_searches_and_for_nodes(
    store: BiplaneVectorStore, operator: FilterOperator, value: Any, expected: list[str]
) -> None:
    filters = where("year", operator, value)
    assert sorted(store.query(asked("cat", 3, filters=filters)).ids or []) == expected
    assert [one.node_id for one in store.get_nodes(filters=filters)] == expected


def test_conditions_are_joined(store: BiplaneVectorStore) -> None:
    parts = [where("year", FilterOperator.EQ, 2000), where("year", FilterOperator.EQ, 2002)]
    for condition, expected in (("or", ["n0", "n2"]), ("and", []), ("not", ["n1"])):
        filters = MetadataFilters(filters=parts, condition=condition)
        assert sorted(store.query(asked("cat", 3, filters=filters)).ids or []) == expected


def test_a_search_is_kept_to_documents(store: BiplaneVectorStore) -> None:
    assert sorted(store.query(asked("cat", 3, doc_ids=["book0"])).ids or []) == ["n0", "n2"]


def test_distances_become_similarities(vectors: Vectors) -> None:
    store = BiplaneVectorStore(vectors.collection("far"))
    store.add([node(number) for number in range(3)])
    found = store.query(asked(TEXTS[1], 3))
    assert found.similarities is not None
    assert found.similarities[0] == pytest.approx(1)
    assert found.similarities == sorted(found.similarities, reverse=True)


def test_another_mode_is_refused(store: BiplaneVectorStore) -> None:
    with pytest.raises(ValueError, match="found mode svm; expected default or hybrid"):
        store.query(asked("cat", mode=VectorStoreQueryMode.SVM))


def test_nodes_are_deleted_by_document_id_filter_and_all(store: BiplaneVectorStore) -> None:
    store.delete("book1")
    assert [one.node_id for one in store.get_nodes()] == ["n0", "n2"]
    store.delete_nodes(["n0"])
    assert [one.node_id for one in store.get_nodes(["n0", "n2"])] == ["n2"]
    store.add([node(0)])
    store.delete_nodes(filters=where("year", FilterOperator.GT, 2001))
    assert [one.node_id for one in store.get_nodes()] == ["n0"]
    store.clear()
    assert store.get_nodes() == []


def test_an_index_is_built_on_it_and_retrieves(vectors: Vectors) -> None:
    store = BiplaneVectorStore(vectors.collection("notes"))
    context = StorageContext.from_defaults(vector_store=store)
    nodes = [TextNode(id_=f"n{number}", text=text) for number, text in enumerate(TEXTS)]
    VectorStoreIndex(nodes, storage_context=context, embed_model=WordEmbedding())
    index = VectorStoreIndex.from_vector_store(store, embed_model=WordEmbedding())
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("stocks today")
    assert (found.node.get_content(), found.node.node_id) == (TEXTS[1], "n1")

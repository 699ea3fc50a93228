"""LangChain's vector store over a collection of real shards, in the ways that LangChain itself uses one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from control.specs.collection import CollectionSpec
from serve_apps.vectors.client import Collection, Vectors, VectorsError
from serve_apps.vectors.langchain_store import BiplaneVectorStore
from tests.fakes.vector_api import minilm, vector_api

FIELDS = [{"name": "text", "type": "text"}, {"name": "year", "type": "integer"}]
BODY: dict[str, Any] = {"dimension": 384, "fields": FIELDS}
SPECS = {
    "theirs": CollectionSpec.model_validate(BODY),
    "ours": CollectionSpec.model_validate({**BODY, "embedding": {"field": "text"}}),
    "far": CollectionSpec.model_validate({**BODY, "metric": "l2"}),
    "inner": CollectionSpec.model_validate({**BODY, "metric": "ip"}),
}
TEXTS = ["the cat sat on the mat", "stocks fell today", "a cat and a dog"]
YEARS = [{"year": 2001}, {"year": 2002}, {"year": 2003}]


class WordEmbeddings(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return minilm(texts, 1.0).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[Vectors]:
    with vector_api(tmp_path, **SPECS) as api, Vectors(api.url, "key") as vectors:
        yield vectors


@pytest.fixture
def theirs(vectors: Vectors) -> Collection:
    return vectors.collection("theirs")


@pytest.fixture(params=["theirs", "ours"])
def store(request: pytest.FixtureRequest, vectors: Vectors) -> BiplaneVectorStore:
    """Once the vectors are LangChain's, once the collection makes them."""
    embedding = WordEmbeddings() if request.param == "theirs" else None
    return BiplaneVectorStore(vectors.collection(request.param), embedding)


def test_texts_are_added_and_found_by_what_they_say(store: BiplaneVectorStore) -> None:
    ids = store.add_texts(TEXTS, YEARS)
    assert len(set(ids)) == 3
    (found,) = store.similarity_search("cat on the mat", k=1)
    assert (found.page_content, found.metadata, found.id) == (TEXTS[0], {"year": 2001}, ids[0])


def test_documents_keep_their_ids_and_take_the_place_of_former_ones(store: BiplaneVectorStore) -> None:
    assert store.add_documents([Document("one cat", id="a"), Document("one dog", id="b")]) == ["a", "b"]
    store.add_documents([Document("two cats", id="a")])
    found = store.get_by_ids(["b", "nothing", "a"])
    assert [(one.id, one.page_content) for one in found] == [("b", "one dog"), ("a", "two cats")]


def test_the_nearest_come_first_with_their_scores(store: BiplaneVectorStore) -> None:
    store.add_texts(TEXTS)
    found = store.similarity_search_with_score("cat", k=3)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert found[-1][0].page_content == TEXTS[1]


def test_relevance_is_between_0_and_1_and_a_threshold_holds(store: BiplaneVectorStore) -> None:
    store.add_texts(TEXTS)
    found = store.similarity_search_with_relevance_scores("stocks fell today", k=3)
    assert found[0][1] == pytest.approx(1, abs=1e-3)
    assert all(0 <= relevance <= 1 for _, relevance in found)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
    assert [one.page_content for one in retriever.invoke("stocks fell today")] == [TEXTS[1]]


def test_distances_are_relevance_too_and_inner_products_are_none(vectors: Vectors) -> None:
    far = BiplaneVectorStore(vectors.collection("far"), WordEmbeddings())
    far.add_texts(TEXTS)
    assert far.similarity_search_with_relevance_scores(TEXTS[1], k=1)[0][1] == pytest.approx(1)
    inner = BiplaneVectorStore(vectors.collection("inner"), WordEmbeddings())
    with pytest.raises(ValueError, match="inner has metric ip"):
        inner.similarity_search_with_relevance_scores("cat")


def test_a_filter_goes_with_a_search_and_with_a_retriever(store: BiplaneVectorStore) -> None:
    store.add_texts(TEXTS, YEARS)
    assert [one.metadata["year"] for one in store.similarity_search("cat", k=3, filter={"year": {"$gt": 2001}})] == [
        2003,
        2002,
    ]
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"year": 2002}})
    assert [one.page_content for one in retriever.invoke("cat")] == [TEXTS[1]]


def test_rows_are_deleted_by_id_or_all_of_them(store: BiplaneVectorStore) -> None:
    ids = store.add_texts(TEXTS)
    assert store.delete([ids[0]]) is True
    assert [one.page_content for one in store.get_by_ids(ids)] == TEXTS[1:]
    store.delete()
    assert store.similarity_search("cat") == []


def test_a_store_is_made_of_texts(theirs: Collection) -> None:
    store = BiplaneVectorStore.from_texts(TEXTS, WordEmbeddings(), YEARS, ids=["a", "b", "c"], collection=theirs)
    assert isinstance(store.embeddings, WordEmbeddings)
    assert [one.id for one in store.similarity_search("stocks", k=1)] == ["b"]
    made = BiplaneVectorStore.from_documents([Document("three cats", id="d")], WordEmbeddings(), collection=theirs)
    assert [one.id for one in made.similarity_search("three", k=1)] == ["d"]


def test_a_vector_is_searched_by(theirs: Collection) -> None:
    store = BiplaneVectorStore(theirs, WordEmbeddings())
    store.add_texts(TEXTS)
    (found,) = store.similarity_search_by_vector(WordEmbeddings().embed_query("stocks"), k=1)
    assert found.page_content == TEXTS[1]


def test_a_field_that_the_collection_has_not_is_told(store: BiplaneVectorStore) -> None:
    with pytest.raises(VectorsError, match=r"points\[0\]\.metadata\.source: no field 'source'"):
        store.add_texts(["cat"], [{"source": "book"}])

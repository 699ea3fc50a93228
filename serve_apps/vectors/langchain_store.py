"""A collection as a LangChain vector store. Needs langchain-core, which Biplane itself does not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from serve_apps.vectors.client import Collection, Hit


class BiplaneVectorStore(VectorStore):
    """The collection's ids are strings, and it has a text field (`text_field`); the rest of a row is metadata.

    Without `embedding` the collection itself makes vectors of texts (its `embedding`).
    """

    def __init__(self, collection: Collection, embedding: Embeddings | None = None, text_field: str = "text") -> None:
        self._collection, self._embedding, self._field = collection, embedding, text_field

    @property
    def embeddings(self) -> Embeddings | None:
        return self._embedding

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        texts = list(texts)
        ids = ids or [str(uuid.uuid4()) for _ in texts]
        vectors = self._embedding.embed_documents(texts) if self._embedding else [None] * len(texts)
        points = []
        for id, text, vector, told in zip(ids, texts, vectors, metadatas or [{} for _ in texts], strict=True):
            point = {"id": id, "metadata": {**told, self._field: text}}
            points.append(point if vector is None else {**point, "vector": vector})
        self._collection.upsert(points)
        return ids

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """`filter` and whatever else a search may ask for go with it."""
        near = {"vector": self._embedding.embed_query(query)} if self._embedding else {"text": query}
        return self._nearest(k, **near, **kwargs)

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self._nearest(k, vector=embedding, **kwargs)]

    def _nearest(self, k: int, **asked: Any) -> list[tuple[Document, float]]:
        (hits,) = self._collection.search(k=k, include=["metadata"], **asked).results
        return [(self._document(hit), hit.score) for hit in hits]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        metric = self._collection.describe()["metric"]
        relevance = {"cosine": lambda score: (1 + score) / 2, "l2": lambda distance: 1 / (1 + distance)}
        if metric not in relevance:
            raise ValueError(f"an inner product is no relevance between 0 and 1; {self._collection.name} has metric ip")
        return relevance[metric]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Without `ids` all rows, as LangChain has it."""
        self._collection.delete(filter={}) if ids is None else self._collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        points = self._collection.fetch(ids)
        return [self._document(Hit(point["id"], 0.0, point["metadata"])) for point in points]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`kwargs` are those of the class: `collection` at least."""
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _document(self, hit: Hit) -> Document:
        told = {name: value for name, value in hit.metadata.items() if name != self._field and value is not None}
        return Document(id=str(hit.id), page_content=hit.metadata.get(self._field) or "", metadata=told)

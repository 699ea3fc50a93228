"""A collection as a LlamaIndex vector store. Needs llama-index-core, which Biplane itself does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores import types
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from serve_apps.vectors.client import Collection

DOCUMENT = "ref_doc_id"
OPERATORS = {
    types.FilterOperator.EQ: "$eq",
    types.FilterOperator.NE: "$ne",
    types.FilterOperator.GT: "$gt",
    types.FilterOperator.GTE: "$gte",
    types.FilterOperator.LT: "$lt",
    types.FilterOperator.LTE: "$lte",
    types.FilterOperator.IN: "$in",
    types.FilterOperator.NIN: "$nin",
    types.FilterOperator.ANY: "$in",
    types.FilterOperator.CONTAINS: "$eq",
    types.FilterOperator.TEXT_MATCH_INSENSITIVE: "$contains",
}
CONDITIONS = {"and": "$and", "or": "$or", "not": "$nor"}


class BiplaneVectorStore(types.BasePydanticVectorStore):
    """The collection's ids are strings. It has the fields `text_field` (text), `_node_content`, `_node_type` and
    `ref_doc_id` (keyword), and one for each metadata key that filters use; other keys stay in the node's content.
    """

    text_field: str = "text"
    _collection: Collection = PrivateAttr()
    _described: dict[str, Any] = PrivateAttr()

    def __init__(self, collection: Collection, text_field: str = "text") -> None:
        super().__init__(stores_text=True, text_field=text_field)
        self._collection, self._described = collection, collection.describe()

    @property
    def client(self) -> Collection:
        return self._collection

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        fields = {one["name"] for one in self._described["fields"]}
        points = []
        for node in nodes:
            told = {**node_to_metadata_dict(node), DOCUMENT: node.ref_doc_id}
            told[self.text_field] = node.get_content(metadata_mode=MetadataMode.NONE)
            metadata = {name: value for name, value in told.items() if name in fields and value is not None}
            points.append({"id": node.node_id, "vector": node.get_embedding(), "metadata": metadata})
        self._collection.upsert(points)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        self._collection.delete(filter={DOCUMENT: ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: types.MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Those of `node_ids` if there are any, else all that match."""
        self._collection.delete(node_ids or (), None if node_ids else where_of(filters))

    def clear(self) -> None:
        self._collection.delete(filter={})

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: types.MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Those of `node_ids` if there are any, else the first thousand that match, by id."""
        rows = self._collection.fetch(node_ids) if node_ids else self._collection.scroll(where_of(filters), limit=1000)
        return [metadata_dict_to_node(one["metadata"]) for one in rows]

    def query(self, query: types.VectorStoreQuery, **kwargs: Any) -> types.VectorStoreQueryResult:
        """`kwargs` are what a search may ask for besides. Raises ValueError for modes other than default and hybrid."""
        hybrid = query.mode is types.VectorStoreQueryMode.HYBRID
        if not (hybrid or query.mode is types.VectorStoreQueryMode.DEFAULT) or query.node_ids:
            raise ValueError(f"found mode {query.mode.value}; expected default or hybrid, without node_ids")
        where = [where_of(query.filters), *([{DOCUMENT: {"$in": query.doc_ids}}] if query.doc_ids else [])]
        words = {"hybrid": {"text": query.query_str, "fields": [self.text_field]}} if hybrid else {}
        asked = {"k": query.similarity_top_k, "filter": {"$and": where}, **words, **kwargs}
        (hits,) = self._collection.search(query.query_embedding, **asked).results
        far = self._described["metric"] == "l2" and not hybrid
        scores = [1 / (1 + hit.score) if far else hit.score for hit in hits]
        nodes = [metadata_dict_to_node(dict(hit.metadata)) for hit in hits]
        return types.VectorStoreQueryResult(nodes, scores, [str(hit.id) for hit in hits])


def where_of(filters: Any) -> dict[str, Any]:
    """Of MetadataFilters, or one MetadataFilter. Raises KeyError for operators that OPERATORS has not."""
    if isinstance(filters, types.MetadataFilters):
        parts = [where_of(one) for one in filters.filters]
        return {CONDITIONS[filters.condition.value if filters.condition else "and"]: parts} if parts else {}
    return {} if filters is None else {filters.key: {OPERATORS[filters.operator]: filters.value}}

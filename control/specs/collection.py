"""kind Collection: vectors of one dimension with typed metadata, in shards and replicas."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control.specs.base import Filled, Items, Manifest, Spec, named_once
from control.specs.problem import one_of, refuse, show
from control.specs.restore import RestoreSpec
from control.specs.vector_index import IndexSpec, divisor

Metric = Literal["l2", "ip", "cosine"]
FieldType = Literal["keyword", "integer", "float", "boolean", "datetime", "geo", "text"]
IdType = Literal["integer", "string"]
Acknowledgement = Literal["one", "quorum", "all"]
MOST_DIMENSIONS = 65_536
MOST_SHARDS = 1_024
MOST_REPLICAS = 9
MINILM = "minilm"
MINILM_DIMENSION = 384
RESERVED = frozenset({"id", "vector"})
"""What no field may be called: every row has these."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def _is_field(name: str) -> str:
    if not _FIELD.fullmatch(name) or name in RESERVED:
        expected = (
            f"at most 63 letters, digits and underscores, no digit first, and not {' or '.join(sorted(RESERVED))}"
        )
        raise refuse(f"found {show(name)}", expected)
    return name


class MetadataField(Spec):
    """One field of a row; every row may lack it. With `many` a row has a list of such values.

    `geo` is a latitude and a longitude in degrees, `datetime` an instant (RFC 3339, kept in microseconds of UTC),
    `text` is for words: it is found by BM25, and `contains` compares whole words. Filters on a field without an
    `index` work, and read every row.
    """

    name: Annotated[str, AfterValidator(_is_field)]
    type: FieldType
    many: bool = False
    index: bool = True

    @model_validator(mode="after")
    def _can_be_many(self) -> Self:
        if self.many and self.type in ("geo", "text"):
            raise refuse(f"many values of type {self.type}", "one value", at=("many",), also=("type",))
        return self


class EmbeddingSpec(Spec):
    """Rows and queries without a vector get that of their text: by `model`, which is `minilm` (all-MiniLM-L6-v2, 384
    dimensions, in a process of the plane's) or a model that is deployed here. `field` is the text field of a row.
    """

    model: Filled = MINILM
    field: Filled


class CollectionSpec(Spec):
    """`shards` share the rows by a hash of their ids; each is kept `replicas` times, on different nodes where there are
    several. A write is acknowledged when `acknowledge` of the replicas have it on disk, unless it asks otherwise. A
    collection that is new has the rows of the snapshot in `restore`.
    """

    dimension: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]
    metric: Metric = "cosine"
    ids: IdType = "string"
    fields: Annotated[Items[MetadataField], named_once("field")] = ()
    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] = 1
    acknowledge: Acknowledgement = "quorum"
    index: IndexSpec = IndexSpec()
    embedding: EmbeddingSpec | None = None
    restore: RestoreSpec | None = None

    def field(self, name: str) -> MetadataField | None:
        return next((one for one in self.fields if one.name == name), None)

    @model_validator(mode="after")
    def _codes_cover_the_vector(self) -> Self:
        found = self.index.subvectors
        if found is not None and self.dimension % found:
            nearest = divisor(self.dimension, found)
            expected = f"a divisor of dimension {self.dimension}, such as {nearest}"
            raise refuse(f"{found} subvectors", expected, at=("index", "subvectors"), also=("dimension",))
        return self

    @model_validator(mode="after")
    def _embeds_its_own_text(self) -> Self:
        if self.embedding is None:
            return self
        field = self.field(self.embedding.field)
        if field is None or field.type != "text":
            texts = one_of((one.name for one in self.fields if one.type == "text"), "a field of type text")
            raise refuse(f"{show(self.embedding.field)} is no text field", texts, at=("embedding", "field"))
        if self.embedding.model == MINILM and self.dimension != MINILM_DIMENSION:
            found = f"minilm makes vectors of {MINILM_DIMENSION} dimensions, not {self.dimension}"
            raise refuse(found, f"dimension {MINILM_DIMENSION}", at=("dimension",), also=("embedding", "model"))
        return self


class Collection(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Collection"] = "Collection"
    spec: CollectionSpec

"""What clients send to the vectors API, as it is decoded and as OpenAPI describes it. Pure.

Only the form is checked here; what a collection's schema says of it is checked by `batch` and `searching`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from serve_apps.vectors.limits import (
    MOST_IMAGE,
    MOST_K,
    MOST_QUERIES,
    MOST_ROWS,
    MOST_TEXT,
    MOST_TIMEOUT_MS,
    MOST_TOKEN,
    USUAL_TIMEOUT_MS,
)

Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | str
Metadata = dict[str, Any]
Json = dict[str, Any]
Timeout = Annotated[int, Meta(ge=1, le=MOST_TIMEOUT_MS, description="Milliseconds for all of it.")]
Acknowledge = Literal["one", "quorum", "all"]
Level = Literal["indexed", "log", "quorum"]
Include = Literal["metadata", "vector"]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]


class Body(Struct, forbid_unknown_fields=True, gc=False):
    """Of any request."""


class Point(Body):
    """One row. Without `vector` it gets that of its text or of its image, where the collection has an embedding."""

    id: Id
    vector: list[float] | UnsetType = UNSET
    text: str | UnsetType = UNSET
    image: Annotated[str, Meta(max_length=MOST_IMAGE)] | UnsetType = UNSET
    metadata: Metadata = {}


class Change(Body):
    """Some of a row's metadata; null takes a value away."""

    id: Id
    metadata: Metadata


class Upsert(Body):
    points: Annotated[list[Point], Meta(min_length=1, max_length=MOST_ROWS)]
    acknowledge: Acknowledge | None = None
    timeout_ms: Timeout = USUAL_TIMEOUT_MS


class Writing(Body):
    """In the query of an address whose body is Arrow."""

    acknowledge: Acknowledge | None = None
    timeout_ms: Timeout = USUAL_TIMEOUT_MS


class Update(Body):
    points: Annotated[list[Change], Meta(min_length=1, max_length=MOST_ROWS)]
    acknowledge: Acknowledge | None = None
    timeout_ms: Timeout = USUAL_TIMEOUT_MS


class Delete(Body):
    """Either `ids` or a `filter`; an empty filter deletes every row."""

    ids: Annotated[list[Id], Meta(max_length=MOST_ROWS)] | UnsetType = UNSET
    filter: Json | UnsetType = UNSET
    acknowledge: Acknowledge | None = None
    timeout_ms: Timeout = USUAL_TIMEOUT_MS


class Read(Body):
    """`token` is that of an earlier answer, whose writes are then seen."""

    level: Level = "log"
    token: Annotated[str, Meta(max_length=MOST_TOKEN)] = ""
    timeout_ms: Timeout = USUAL_TIMEOUT_MS


class Fetch(Read, kw_only=True):
    ids: Annotated[list[Id], Meta(max_length=MOST_ROWS)]
    include: tuple[Include, ...] = ("metadata", "vector")


class Scroll(Read, kw_only=True):
    """A page of rows in the order of their ids: those behind `after`."""

    filter: Json = {}
    after: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 100
    include: tuple[Include, ...] = ("metadata",)


class Count(Read, kw_only=True):
    filter: Json = {}


class TuningBody(Body):
    """For this search instead of the collection's own; `exact` measures every row."""

    ef_search: Positive | None = None
    nprobe: Positive | None = None
    rerank: Positive | None = None
    exact: bool = False


class Hybrid(Body):
    """The words of `text` in text fields, all of them where no `fields` are named, by BM25."""

    text: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)]
    fields: list[str] = []


class Search(Read, kw_only=True):
    """By one of `vector`, `vectors`, `text` and `image`, or by the words of `hybrid` alone.

    With `hybrid` and with `fuse` the rankings are made one by reciprocal rank fusion: the scores are then its. Of
    metric l2 a score is a distance, the smaller the nearer; else the greater the nearer.
    """

    vector: list[float] | UnsetType = UNSET
    vectors: Annotated[list[list[float]], Meta(min_length=1, max_length=MOST_QUERIES)] | UnsetType = UNSET
    text: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)] | UnsetType = UNSET
    image: Annotated[str, Meta(min_length=1, max_length=MOST_IMAGE)] | UnsetType = UNSET
    k: Annotated[int, Meta(ge=1, le=MOST_K)] = 10
    offset: Annotated[int, Meta(ge=0, le=MOST_K - 1)] = 0
    filter: Json = {}
    threshold: float | None = None
    include: tuple[Include, ...] = ("metadata",)
    tuning: TuningBody | None = None
    hybrid: Hybrid | None = None
    fuse: bool = False

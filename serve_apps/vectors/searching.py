"""Searches: what a client asks, checked and made into queries of shards, and their rankings made into its results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, structs

from actors.vectors.answers import Found
from actors.vectors.query import Level, Query, TextQuery, Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.filter_notation import FilterError, parse_filter
from control.specs.problem import nearest, one_of, show
from control.specs.vector_filter import Filter, fields_of
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.answers import columns_of, encoded, fused, nearness, results_of
from serve_apps.vectors.aside import aside
from serve_apps.vectors.batch import measured
from serve_apps.vectors.bodies import Include, Json, Search
from serve_apps.vectors.embedding import Embedding, Input
from serve_apps.vectors.limits import MOST_HITS, MOST_K, MOST_NUMBERS
from serve_apps.vectors.refusals import invalid
from serve_apps.vectors.shards import Shards, Tokens, left
from serve_apps.vectors.token import token_of, tokens_of

RANKED = 100
"""So many of each ranking are fused at least: what is far back in one may be at the front of another."""


class Searching:
    def __init__(self, shards: Shards, embedding: Embedding) -> None:
        self._shards = shards
        self._embedding = embedding

    async def search(self, name: str, spec: CollectionSpec, body: Search, deadline: float) -> bytes:
        """The answer's body. Raises ApiError."""
        _check(body, spec)
        where = filter_of(body.filter, spec)
        texts = _text_fields(body, spec)
        tokens = tokens_of(body.token)
        vectors = await self._vectors(body, spec, deadline)
        depth, several = body.k + body.offset, bool(texts) or body.fuse
        check_size(depth * max(1, 0 if vectors is None else len(vectors)), spec, body.include)
        deep = min(max(depth, RANKED), MOST_K) if several else depth
        asked = [] if vectors is None else [self._near(name, spec, body, vectors, where, deep, tokens, deadline)]
        if body.hybrid is not None:
            text = TextQuery(body.hybrid.text, texts, deep, where, columns_of(body.include, spec), Level(body.level))
            asked.append(self._shards.search_text(name, text, tokens, left(deadline)))
        found = await asyncio.gather(*asked)
        hits = fused([one.hits for one in found], depth) if several else found[0].hits
        metric = None if several else spec.metric
        document = _told(found, tokens, where, spec)

        def told() -> bytes:
            return encoded({"results": results_of(hits, metric, body.include, body.offset), **document})

        return await aside(_size(len(hits.ids), spec, body.include), told)

    async def _near(
        self,
        name: str,
        spec: CollectionSpec,
        body: Search,
        vectors: Floats,
        where: Filter,
        k: int,
        tokens: Tokens,
        deadline: float,
    ) -> Found:
        threshold = None if body.threshold is None else nearness(body.threshold, spec.metric)
        tuning = Tuning() if body.tuning is None else Tuning(**structs.asdict(body.tuning))
        columns = columns_of(body.include, spec)
        query = Query(vectors, k, where, threshold, columns, tuning, Level(body.level))
        return await self._shards.search(name, query, tokens, 0, left(deadline))

    async def _vectors(self, body: Search, spec: CollectionSpec, deadline: float) -> Floats | None:
        """None where only words are looked for."""
        if body.vector is not UNSET:
            return measured([body.vector], spec, lambda _: "vector")
        if body.vectors is not UNSET:
            lists = body.vectors
            numbers = len(lists) * spec.dimension
            return await aside(numbers, lambda: measured(lists, spec, lambda row: f"vectors[{row}]"))
        if body.text is UNSET and body.image is UNSET:
            return None
        path = "text" if body.text is not UNSET else "image"
        if spec.embedding is None:
            hint = "; 'hybrid' finds words in text fields" if path == "text" else ""
            raise invalid(path, "a collection without an embedding", f"vector{hint}")
        one = Input(path, body.text or "", body.image or "")
        return measured(await self._embedding.embed([one], spec, deadline), spec, lambda _: path)


def filter_of(body: Json, spec: CollectionSpec, name: str = "filter") -> Filter:
    """Raises ApiError 400."""
    try:
        return parse_filter(body, spec)
    except FilterError as error:
        path = f"{name}.{error.path}" if error.path else name
        raise ApiError(400, "invalid_filter", str(error), param=path) from None


def notes_of(where: Filter, spec: CollectionSpec) -> list[str]:
    """What a client should know of what its filter costs."""
    names = sorted({one for one in fields_of(where) if not (field := spec.field(one)) or not field.index})
    return [f"filter: the field {show(name)} has no index: it is looked at in every row" for name in names]


def check_size(rows: int, spec: CollectionSpec, include: Sequence[Include]) -> None:
    """Raises ApiError 400 where an answer of so many rows would be too large."""
    if rows > MOST_HITS:
        raise invalid("k", f"{rows} rows for all vectors together", f"at most {MOST_HITS}")
    if "vector" in include and rows * spec.dimension > MOST_NUMBERS:
        numbers = rows * spec.dimension
        raise invalid("include", f"vectors of {numbers} numbers together", f"at most {MOST_NUMBERS}, or fewer rows")


def _check(body: Search, spec: CollectionSpec) -> None:
    given = [name for name in ("vector", "vectors", "text", "image") if getattr(body, name) is not UNSET]
    if len(given) > 1 or not (given or body.hybrid):
        found = " and ".join(given) or "nothing to search by"
        raise invalid(given[1] if given else "vector", found, "one of vector, vectors, text, image; or hybrid")
    if body.k + body.offset > MOST_K:
        raise invalid("offset", f"k and offset of {body.k + body.offset} together", f"at most {MOST_K}")
    if body.threshold is not None and body.threshold < 0 and spec.metric == "l2":
        raise invalid("threshold", show(body.threshold), "a distance of at least 0")


def _text_fields(body: Search, spec: CollectionSpec) -> tuple[str, ...]:
    """Those that `hybrid` looks at."""
    if body.hybrid is None:
        return ()
    texts = [field.name for field in spec.fields if field.type == "text"]
    for place, name in enumerate(body.hybrid.fields):
        if name not in texts:
            path = f"hybrid.fields[{place}]"
            raise invalid(path, f"no text field {show(name)}", one_of(texts, "no hybrid"), nearest(name[:64], texts))
    if not texts:
        raise invalid("hybrid", "a collection without text fields", "a collection with a field of type text")
    return tuple(dict.fromkeys(body.hybrid.fields)) or tuple(texts)


def _told(found: Sequence[Found], tokens: Tokens, where: Filter, spec: CollectionSpec) -> dict[str, Any]:
    """What stands beside the results. The token has what the client's had, also of shards that are missing."""
    missing = {str(shard): reason for one in found for shard, reason in one.missing.items()}
    token = token_of(tokens, *(one.tokens for one in found))
    told: dict[str, Any] = {"partial": bool(missing), "missing": missing, "token": token}
    notes = notes_of(where, spec)
    return {**told, "notes": notes} if notes else told


def _size(rows: int, spec: CollectionSpec, include: Sequence[Include]) -> int:
    """About how much work it is to write so many rows."""
    return rows * (20 + 20 * ("metadata" in include) * len(spec.fields) + spec.dimension * ("vector" in include))

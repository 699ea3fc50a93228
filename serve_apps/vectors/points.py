"""Writing, reading and counting points, for one request each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from msgspec import UNSET, structs

from actors.vectors.answers import Receipt
from actors.vectors.query import Level
from control.specs.collection import CollectionSpec
from control.specs.problem import show
from serve_apps.vectors.answers import columns_of, encoded, rows_of
from serve_apps.vectors.arrow_batch import Columns, read_arrow, whole
from serve_apps.vectors.aside import aside
from serve_apps.vectors.batch import Batch, batch_of, changes_of, check_names, ids_of, measured
from serve_apps.vectors.bodies import Count, Delete, Fetch, Point, Scroll, Update, Upsert, Writing
from serve_apps.vectors.embedding import Embedding, Input
from serve_apps.vectors.refusals import invalid
from serve_apps.vectors.searching import check_size, filter_of, notes_of
from serve_apps.vectors.shards import Shards, left
from serve_apps.vectors.token import token_of, tokens_of


class Points:
    """Every method gives the answer's body, and raises ApiError."""

    def __init__(self, shards: Shards, embedding: Embedding) -> None:
        self._shards = shards
        self._embedding = embedding

    async def upsert(self, name: str, spec: CollectionSpec, body: Upsert, deadline: float) -> bytes:
        inputs, points = _inputs_of(body.points, spec)
        embedded = await self._embed(inputs, spec, deadline)

        def batch() -> Batch:
            lists = [embedded.get(row, point.vector) for row, point in enumerate(points)]
            vectors = measured(lists, spec, lambda row: f"points[{row}].vector")  # type: ignore[arg-type]
            return batch_of(points, vectors, spec)

        made = await aside(len(points) * spec.dimension, batch)
        return await self._upsert(name, made, body, deadline)

    async def upsert_arrow(
        self, name: str, spec: CollectionSpec, stream: bytes, body: Writing, deadline: float
    ) -> bytes:
        """Of the rows in an Arrow IPC `stream`."""
        columns = await aside(len(stream), lambda: read_arrow(stream, spec))
        vectors = columns.vectors
        if vectors is None:
            embedded = await self._embed(_inputs_in(columns, spec), spec, deadline)
            vectors = measured([embedded[row] for row in range(len(embedded))], spec, lambda row: f"vector[{row}]")
        return await self._upsert(name, whole(columns, vectors, spec), body, deadline)

    async def update(self, name: str, spec: CollectionSpec, body: Update, deadline: float) -> bytes:
        """What changes the text that a row's vector was made of changes the vector."""
        inputs = {row: _text_input(point.metadata, row, spec) for row, point in enumerate(body.points)}
        embedded = await self._embed({row: one for row, one in inputs.items() if one}, spec, deadline)
        at = list(embedded)
        vectors = measured(list(embedded.values()), spec, lambda row: f"points[{at[row]}].metadata")
        batches = changes_of(body.points, spec, dict(zip(at, vectors, strict=True)))
        changes = [one.rows for one in batches]
        receipt = await self._shards.update(name, changes, body.acknowledge, left(deadline))
        return _written({"updated": receipt.rows}, [again for one in batches for again in one.duplicates], receipt)

    async def delete(self, name: str, spec: CollectionSpec, body: Delete, deadline: float) -> bytes:
        if body.ids is not UNSET and body.filter is UNSET:
            ids = ids_of(list(dict.fromkeys(body.ids)), spec, lambda row: f"ids[{row}]")
            return _written({}, [], await self._shards.delete(name, ids, body.acknowledge, left(deadline)))
        if body.filter is UNSET or body.ids is not UNSET:
            found = "neither" if body.ids is UNSET else "both"
            raise invalid("ids", f"{found} of ids and filter", "one of them")
        where = filter_of(body.filter, spec)
        receipt = await self._shards.delete_where(name, where, body.acknowledge, left(deadline))
        return _written({"deleted": receipt.rows, **_noted(notes_of(where, spec))}, [], receipt)

    async def fetch(self, name: str, spec: CollectionSpec, body: Fetch, deadline: float) -> bytes:
        ids = ids_of(list(dict.fromkeys(body.ids)), spec, lambda row: f"ids[{row}]")
        check_size(len(ids), spec, body.include)
        columns, tokens = columns_of(body.include, spec), tokens_of(body.token)
        rows = await self._shards.fetch(name, ids, columns, Level(body.level), tokens, left(deadline))
        return await _page(rows, body, spec, {})

    async def scroll(self, name: str, spec: CollectionSpec, body: Scroll, deadline: float) -> bytes:
        where = filter_of(body.filter, spec)
        check_size(body.limit, spec, body.include)
        after = None if body.after is None else ids_of([body.after], spec, lambda _: "after")[0].as_py()
        columns, tokens = columns_of(body.include, spec), tokens_of(body.token)
        rows = await self._shards.scroll(
            name, where, after, body.limit, columns, Level(body.level), tokens, left(deadline)
        )
        last = rows.column("id")[-1].as_py() if len(rows) == body.limit else None
        return await _page(rows, body, spec, {"next": last, **_noted(notes_of(where, spec))})

    async def count(self, name: str, spec: CollectionSpec, body: Count, deadline: float) -> bytes:
        where = filter_of(body.filter, spec)
        tokens = tokens_of(body.token)
        found = await self._shards.count(name, where, Level(body.level), tokens, left(deadline))
        return encoded({"count": found, **_noted(notes_of(where, spec))})

    async def _upsert(self, name: str, batch: Batch, body: Writing | Upsert, deadline: float) -> bytes:
        receipt = await self._shards.upsert(name, batch.rows, body.acknowledge, left(deadline))
        return _written({"upserted": receipt.rows}, batch.duplicates, receipt)

    async def _embed(self, inputs: dict[int, Input], spec: CollectionSpec, deadline: float) -> dict[int, list[float]]:
        if not inputs:
            return {}
        found = await self._embedding.embed(list(inputs.values()), spec, deadline)
        return dict(zip(inputs, found, strict=True))


def _inputs_of(points: Sequence[Point], spec: CollectionSpec) -> tuple[dict[int, Input], Sequence[Point]]:
    """What is to be embedded, by the row; and the points, with their texts in their metadata. Raises ApiError 400."""
    inputs: dict[int, Input] = {}
    changed: dict[int, Point] = {}
    if any(point.vector is UNSET for point in points):
        check_names([point.metadata for point in points], spec)  # what the vector is in may be misspelt
    for row, point in enumerate(points):
        if point.vector is not UNSET and point.text is UNSET and point.image is UNSET:
            continue
        path = f"points[{row}]"
        if spec.embedding is None:
            given = next((one for one in ("text", "image") if getattr(point, one) is not UNSET), "")
            if given:
                raise invalid(
                    f"{path}.{given}", "a collection without an embedding", "a vector, and its text in metadata"
                )
            raise invalid(f"{path}.vector", "nothing", f"{spec.dimension} numbers")
        if point.text is not UNSET:
            changed[row] = point = structs.replace(point, metadata={**point.metadata, spec.embedding.field: point.text})
        if point.vector is not UNSET:
            continue
        if point.image is not UNSET:
            if not point.image:
                raise invalid(f"{path}.image", "nothing", "an address or base64")
            inputs[row] = Input(f"{path}.image", image=point.image)
        elif text := _text_input(point.metadata, row, spec):
            inputs[row] = text
        else:
            raise invalid(path, "no vector and no text", f"vector, text, image, or metadata.{spec.embedding.field}")
    return inputs, [changed.get(row, point) for row, point in enumerate(points)] if changed else points


def _text_input(metadata: dict[str, Any], row: int, spec: CollectionSpec) -> Input | None:
    """None where there is no text to embed."""
    if spec.embedding is None:
        return None
    text = metadata.get(spec.embedding.field)
    return Input(f"points[{row}].metadata.{spec.embedding.field}", text) if text and isinstance(text, str) else None


def _inputs_in(columns: Columns, spec: CollectionSpec) -> dict[int, Input]:
    """The texts of rows without vectors. Raises ApiError 400."""
    if spec.embedding is None:
        raise invalid("vector", "no such column", f"lists of {spec.dimension} numbers")
    field = spec.embedding.field
    texts = columns.rows.column(field).to_pylist()
    for row, text in enumerate(texts):
        if not text:
            raise invalid(f"{field}[{row}]", show(text), "a text, as there is no column 'vector'")
    return {row: Input(f"{field}[{row}]", text) for row, text in enumerate(texts)}


def _written(told: dict[str, Any], duplicates: Sequence[int | str], receipt: Receipt) -> bytes:
    again = {"duplicates": duplicates} if duplicates else {}
    return encoded({**told, **again, "token": token_of(receipt.tokens)})


def _noted(notes: list[str]) -> dict[str, Any]:
    return {"notes": notes} if notes else {}


async def _page(rows: pa.RecordBatch, body: Fetch | Scroll, spec: CollectionSpec, told: dict[str, Any]) -> bytes:
    size = len(rows) * (20 + spec.dimension * ("vector" in body.include) + 20 * len(spec.fields))
    return await aside(size, lambda: encoded({"points": rows_of(rows, body.include), **told}))

"""What the vectors API serves, as an OpenAPI 3.1 document made of the types that requests are decoded into: a value."""

from __future__ import annotations

from typing import Any

import msgspec

from serve_apps.vectors.bodies import Body, Count, Delete, Fetch, Scroll, Search, Update, Upsert
from serve_apps.vectors.paths import COLLECTIONS, DOCUMENT

Json = dict[str, Any]
ARROW = "application/vnd.apache.arrow.stream"
_REFUSALS = {
    400: "The request cannot be read, or does not fit the collection; the message names the row and the field.",
    401: "There is no API key, or it is not good.",
    403: "The API key may not be used for this collection: its models name no vectors/NAME.",
    404: "There is no collection of this name.",
    408: "The request body took too long to come.",
    413: "The request body is too large.",
    429: "Too many requests; `retry-after` says when there is room again.",
    500: "The API failed.",
    503: "Shards, the embedding model or the API are not available now; `retry-after` says when to ask again.",
    504: "The shards did not answer in time. Of a write it is not known whether it lasts: sent again it does no harm.",
}
_ID: Json = {"type": ["integer", "string"]}
_WRITTEN: Json = {"token": {"type": "string"}, "duplicates": {"type": "array", "items": _ID}}
_NOTES: Json = {"notes": {"type": "array", "items": {"type": "string"}}}
_ROW: Json = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": _ID,
        "score": {"type": "number"},
        "metadata": {"type": "object"},
        "vector": {"type": "array", "items": {"type": "number"}},
    },
}
_ROWS: Json = {"type": "array", "items": _ROW}
_COLLECTION: Json = {"type": "object", "required": ["name", "dimension", "metric"]}


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "required": required, "properties": properties}


_OPERATIONS: tuple[tuple[str, str, str, type[Body], Json], ...] = (
    (
        "points",
        "post",
        "Writes whole rows. Of an id that comes twice the last row is written, and `duplicates` names it.",
        Upsert,
        _object(["upserted", "token"], upserted={"type": "integer"}, **_WRITTEN),
    ),
    (
        "points",
        "patch",
        "Changes fields of rows; null takes a value away, and ids that are not there are left out.",
        Update,
        _object(["updated", "token"], updated={"type": "integer"}, **_WRITTEN),
    ),
    (
        "points/delete",
        "post",
        "Deletes rows.",
        Delete,
        _object(["token"], token={"type": "string"}, deleted={"type": "integer"}, **_NOTES),
    ),
    (
        "points/fetch",
        "post",
        "Rows by their ids; those that are not there are left out.",
        Fetch,
        _object(["points"], points=_ROWS),
    ),
    (
        "points/scroll",
        "post",
        "A page of rows in the order of their ids; `next` is the next page's `after`.",
        Scroll,
        _object(["points", "next"], points=_ROWS, next={"type": ["integer", "string", "null"]}, **_NOTES),
    ),
    (
        "points/count",
        "post",
        "How many rows match.",
        Count,
        _object(["count"], count={"type": "integer"}, **_NOTES),
    ),
    (
        "search",
        "post",
        "The nearest rows. `partial` says that shards are `missing`, each with the reason.",
        Search,
        _object(
            ["results", "partial", "missing", "token"],
            results={"type": "array", "items": _ROWS},
            partial={"type": "boolean"},
            missing={"type": "object", "additionalProperties": {"type": "string"}},
            token={"type": "string"},
            **_NOTES,
        ),
    ),
)


def _refusals() -> Json:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": words, "content": content} for status, words in _REFUSALS.items()}


def _answered(words: str, schema: Json) -> Json:
    return {"200": {"description": words, "content": {"application/json": {"schema": schema}}}, **_refusals()}


def _operation(words: str, body: type[Body], answer: Json) -> Json:
    content: Json = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
    return {
        "summary": words,
        "requestBody": {"required": True, "content": content},
        "responses": _answered(words, answer),
    }


def _paths() -> Json:
    listed = _object(["collections"], collections={"type": "array", "items": _COLLECTION})
    named = COLLECTIONS + "/{name}"
    parameters = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths: Json = {
        DOCUMENT: {"get": {"summary": "This document.", "responses": _answered("It.", {"type": "object"})}},
        COLLECTIONS: {"get": {"summary": "All collections.", "responses": _answered("They.", listed)}},
        named: {
            "parameters": parameters,
            "get": {"summary": "One collection's settings.", "responses": _answered("They.", _COLLECTION)},
        },
    }
    for path, method, words, body, answer in _OPERATIONS:
        told = paths.setdefault(f"{named}/{path}", {"parameters": parameters})
        told[method] = _operation(words, body, answer)
    upsert = paths[f"{named}/points"]["post"]
    upsert["requestBody"]["description"] = (
        f"Or an Arrow IPC stream ({ARROW}) with columns id, vector and the fields; `acknowledge` and `timeout_ms` are "
        "then parameters of the address."
    )
    return paths


def _schemas() -> Json:
    bodies = [body for *_, body, _ in _OPERATIONS]
    _, found = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    error = _object(["message", "type", "param", "code"], message={"type": "string"}, code={"type": ["string", "null"]})
    return {**found, "Error": _object(["error"], error=error)}


OPENAPI: Json = {
    "openapi": "3.1.0",
    "info": {"title": "Biplane vectors", "version": "1"},
    "security": [{"key": []}],
    "paths": _paths(),
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        "schemas": _schemas(),
    },
}

"""What the gateway serves, as an OpenAPI 3.1 document. A value: it depends on no table and tells nothing secret.

Bodies are described as far as the gateway itself checks them: whoever answers checks the rest, and fields that are not
named here go on to it.
"""

from typing import Any

from serve_apps.gateway.body import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES

Json = dict[str, Any]
PATH = "/openapi.json"
REFUSALS = {
    400: "The request cannot be read, or the model that was asked for cannot do what it asks.",
    401: "There is no API key, or it is not good.",
    403: "The API key may not use this model or this route.",
    404: "No model of this name may be asked at this path.",
    408: "The request body took too long to come.",
    413: "The request body is too large.",
    429: "Too many requests, tokens or costs; `retry-after` says when there is room again.",
    502: "The answer broke off.",
    503: "Who answers is not available; `retry-after` says when to ask again.",
    504: "Who answers took too long.",
}
UNREADY = {503: "The gateway cannot tell yet; `retry-after` says when to ask again."}
MESSAGE_LIST = {"type": "array", "description": "The conversation, checked by who answers."}
BODIES: dict[str, tuple[str, Json, Json]] = {
    CHAT: ("A chat completion.", {"messages": MESSAGE_LIST}, {}),
    COMPLETIONS: ("A completion of text.", {}, {"prompt": {}}),
    EMBEDDINGS: ("Embeddings.", {}, {"input": {}}),
    RESPONSES: ("A response; nothing is stored.", {}, {"input": {}}),
    MESSAGES: ("A message of Anthropic's API.", {"messages": MESSAGE_LIST}, {"max_tokens": {}}),
}
"""By path, what is answered, the fields that the gateway demands besides the model, and others for who answers."""


def _error(path: str = "") -> str:
    return "AnthropicError" if path == MESSAGES else "Error"


def _refusals(told: dict[int, str], schema: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {str(status): {"description": words, "content": content} for status, words in told.items()}


def _generate(path: str) -> Json:
    summary, demanded, others = BODIES[path]
    body = {
        "type": "object",
        "required": ["model", *demanded],
        "properties": {"model": {"type": "string"}, **demanded, **others, "stream": {}},
    }
    answer = {
        "description": summary,
        "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
    }
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": answer, **_refusals(REFUSALS, _error(path))},
        }
    }


def _read(summary: str, kind: str, schema: Json, refusals: dict[int, str], *, public: bool = False) -> Json:
    answer: Json = {"description": summary, "content": {kind: {"schema": schema}}}
    found: Json = {"summary": summary, "responses": {"200": answer, **_refusals(refusals, _error())}}
    told = found | ({"security": []} if public else {})
    head = told | {
        "responses": {status: {"description": one["description"]} for status, one in found["responses"].items()}
    }
    return {"get": told, "head": head}


def _required(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


CARD = _required(
    id={"type": "string"}, object={"const": "model"}, created={"type": "integer"}, owned_by={"type": "string"}
)
NOBODY = {401: REFUSALS[401], **UNREADY}
ERROR = {"message": {"type": "string"}, "type": {"type": "string"}}
NAMED = {"param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}

OPENAPI: Json = {
    "openapi": "3.1.0",
    "info": {"title": "Biplane gateway", "version": "1"},
    "security": [{"bearer": []}, {"x-api-key": []}],
    "paths": {
        **{path: _generate(path) for path in BODIES},
        "/v1/models": _read(
            "The models that are served here.",
            "application/json",
            _required(object={"const": "list"}, data={"type": "array", "items": CARD}),
            NOBODY,
        ),
        "/v1/models/{model}": _read("One model.", "application/json", CARD, {**NOBODY, 404: REFUSALS[404]})
        | {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]},
        "/metrics": _read(
            "Prometheus metrics of the plane.",
            "text/plain",
            {"type": "string"},
            {**NOBODY, 403: "The API key has scopes or limits."},
        ),
        "/healthz": _read(
            "Whether this replica answers.",
            "application/json",
            _required(status={"const": "ok"}, table_version={"type": "integer"}),
            UNREADY,
            public=True,
        ),
        PATH: _read("This document.", "application/json", {"type": "object"}, {}, public=True),
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
        "schemas": {
            "Error": _required(error=_required(**ERROR, **NAMED)),
            "AnthropicError": _required(type={"const": "error"}, error=_required(**ERROR)),
        },
    },
}

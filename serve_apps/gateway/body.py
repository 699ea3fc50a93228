"""The request's body: read within a limit, parsed once, checked for no more than routing needs."""

import json
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import Receive, Scope

from serve_apps.gateway.errors import ApiError, invalid_json, invalid_value, request_too_large
from serve_apps.gateway.nesting import loaded

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
COUNTED = b',"stream_options":{"include_usage":true}}'
PROMPTS = {CHAT: "messages", MESSAGES: "messages", RESPONSES: "input"}


class ClientGone(Exception):
    """The client left before its request was complete: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """`raw` is forwarded as it came to the same `path`; the engine checks everything that is not named here.

    `user` is empty where the request names nobody; `prompt` is what the model shall read, as parsed, whatever it is;
    `document` is all of `raw`, as parsed. `shown` is whether the client sees the usage that a stream ends with.
    """

    path: str
    raw: bytes
    model: str
    user: str
    prompt: Any
    document: dict[str, Any]
    shown: bool = True

    def counted(self) -> "Request":
        """The same request, of which the engine tells what it took: of a stream it does so where it is asked to."""
        document, raw = self.document, self.raw
        if self.path not in (CHAT, COMPLETIONS) or not document.get("stream"):
            return self
        options = document.get("stream_options") or {}
        if not isinstance(options, dict) or options.get("include_usage"):
            return self
        document = {**document, "stream_options": {**options, "include_usage": True}}
        if "stream_options" in self.document or not (raw.startswith(b"{") and raw.endswith(b"}")):
            raw = json.dumps(document).encode()
        else:
            raw = raw[:-1] + COUNTED  # to write all of it anew costs as much as parsing it did
        return replace(self, document=document, raw=raw, shown=False)

    def named(self, model: str) -> "Request":
        """The same request for another model."""
        document = {**self.document, "model": model}
        return replace(self, model=model, document=document, raw=json.dumps(document).encode())


def declared_bytes(scope: Scope, limit: int) -> int:
    """How large the body says it is; `limit` where it does not say. Raises ApiError 413 past `limit`."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            if int(value) > limit:
                raise request_too_large(limit)
            return int(value)
    return limit


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises ApiError 413 past `limit` bytes, ClientGone where it never ends."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise request_too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def parse_request(path: str, raw: bytes) -> Request:
    """Raises ApiError 400 naming the parameter."""
    try:
        document = loaded(raw)
    except ValueError as error:
        raise invalid_json(str(error)) from None
    if not isinstance(document, dict):
        raise ApiError(400, "invalid_value", "The request body must be a JSON object.")
    model, user = document.get("model"), document.get("user")
    if not isinstance(model, str):
        raise invalid_value("model", "a string", model)
    if path in (CHAT, MESSAGES) and not isinstance(document.get("messages"), list):
        raise invalid_value("messages", "an array", document.get("messages"))
    prompt = document.get(PROMPTS.get(path, "prompt"))
    return Request(path, raw, model, user if isinstance(user, str) else "", prompt, document)

"""A client's request as one backend gets it, and what becomes of the backend's answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serve_apps.gateway.backends.relay import ChatRelay, EventsRelay, NativeRelay, Relay
from serve_apps.gateway.body import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, Request
from serve_apps.gateway.dialects.anthropic_request import anthropic_request
from serve_apps.gateway.dialects.chat_extensions import without_extensions
from serve_apps.gateway.dialects.chat_response import chat_response
from serve_apps.gateway.dialects.completions import completions_chat_request, text_completion
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.surface import as_chat
from serve_apps.gateway.table import BackendSpec
from serve_apps.gateway.taken import Taken

ANTHROPIC_VERSION = b"2023-06-01"
MOST_TOKENS = 4096
"""Of an answer of Anthropic's, which has to be told, where the client says nothing."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`body` goes to `path` with `headers`. `relay` makes a chat's stream of the backend's, `whole` a chat's answer of
    its whole one; with `native` both stay as they are: the client speaks the backend's own API. `usage` reads
    what the backend says that it took.
    """

    path: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    relay: Callable[[Taken], Relay]
    whole: Callable[[Json], Json] | None = None
    native: bool = False
    usage: Callable[[Any], Usage] = Usage.of_chat


def credentials(spec: BackendSpec, key: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers with a provider's `key`, empty for none."""
    if spec.dialect == "anthropic":
        return (b"x-api-key", key.encode()), (b"anthropic-version", ANTHROPIC_VERSION)
    return ((b"authorization", b"Bearer " + key.encode()),) if key else ()


def outgoing(request: Request, spec: BackendSpec, key: str, created: int) -> Outgoing:
    """`key` is the provider's, empty for none; answers are said to be `created` then, in seconds since 1970.

    Raises ApiError 400 where the backend's API cannot say the request.
    """
    if spec.dialect == "anthropic":
        return _to_anthropic(request, spec, key, created)
    headers = credentials(spec, key)
    chat = as_chat(request).counted()
    document = without_extensions(chat.document) if chat.path == CHAT else chat.document
    body = json.dumps({**document, "model": spec.model}).encode()
    return Outgoing(chat.path, body, headers, lambda taken: ChatRelay(taken, shown=chat.shown))


def _to_anthropic(request: Request, spec: BackendSpec, key: str, created: int) -> Outgoing:
    headers = credentials(spec, key)
    if request.path == MESSAGES:
        body = json.dumps({**request.document, "model": spec.model}).encode()
        return Outgoing(MESSAGES, body, headers, NativeRelay, native=True, usage=Usage.of_anthropic)
    if request.path == EMBEDDINGS:
        raise ApiError(400, "unsupported", f"{spec.provider} has no embeddings.", param="model")
    text = request.path == COMPLETIONS
    chat = completions_chat_request(request.document) if text else as_chat(request).document
    told = anthropic_request({**chat, "model": spec.model}, MOST_TOKENS)

    def whole(message: Json) -> Json:
        completion = chat_response(message, created)
        return text_completion(completion) if text else completion

    options = chat.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    counted = asked or request.path not in (CHAT, COMPLETIONS)
    return Outgoing(
        MESSAGES,
        json.dumps(told).encode(),
        headers,
        lambda taken: EventsRelay(taken, created, text=text, counted=counted),
        whole,
        usage=Usage.of_anthropic,
    )

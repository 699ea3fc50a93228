"""A kept answer as a new one: JSON, or the events of a stream, said to be cached. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.sse import DONE_EVENT, plain_event
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.wire import Headers

PIECE = 256
"""Characters of the content in one event."""
PARTS = ("reasoning_content", "reasoning", "content", "text")


def headers_of(found: Found) -> Headers:
    """`x-biplane-cache` and, in seconds, `age` (RFC 9111)."""
    told = [(b"x-biplane-cache", found.kind.encode()), (b"age", b"%d" % found.age_s)]
    if found.kind == "semantic":
        told.append((b"x-biplane-cache-similarity", b"%.3f" % found.similarity))
    return told


def whole(found: Found) -> bytes:
    """The completion with all of its prompt counted as cached. Its id stays: it is the same answer."""
    answer = json.loads(found.body)
    return json.dumps(answer | _usage(answer)).encode()


def events(found: Found, *, counted: bool) -> Iterator[bytes]:
    """The chunks of a stream of a chat or a text completion, with the usage where it is `counted`, and `[DONE]`."""
    answer = json.loads(found.body)
    chat = answer["object"] == "chat.completion"
    head = {name: answer[name] for name in ("id", "created", "model") if name in answer}
    head["object"] = "chat.completion.chunk" if chat else answer["object"]
    choice = answer["choices"][0]
    said = choice["message"] if chat else choice
    if chat:
        yield _event(head, {"delta": {"role": "assistant", "content": ""}})
    for name in PARTS:
        for start in range(0, len(text := said.get(name) or ""), PIECE):
            piece = {name: text[start : start + PIECE]}
            yield _event(head, {"delta": piece} if chat else piece)
    ends = {"finish_reason": choice["finish_reason"]}
    last: Json = {"delta": {}} if chat else {"text": ""}
    yield _event(head, last | ends)
    if counted:
        yield plain_event(head | {"choices": []} | _usage(answer))
    yield DONE_EVENT


def _event(head: Json, told: Json) -> bytes:
    return plain_event(head | {"choices": [{"index": 0, "logprobs": None, "finish_reason": None} | told]})


def _usage(answer: Json) -> Json:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return {}
    read = Usage.of_chat(usage)
    details = {"cached_tokens": read.prompt}
    return {"usage": usage | {"prompt_tokens_details": (usage.get("prompt_tokens_details") or {}) | details}}

"""What the tests of filters share: a context, filters by what a file says, an answer in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from serve_apps.gateway.body import CHAT, Request, parse_request
from serve_apps.gateway.dialects.sse import plain_event
from serve_apps.gateway.filters.answers import AnswerFilter
from serve_apps.gateway.filters.build import build_filters
from serve_apps.gateway.filters.chain import Filters
from serve_apps.gateway.filters.filter import Context, Place

Json = dict[str, Any]


def no_secret(place: Place) -> str:
    raise AssertionError(f"nobody asked for {place}")


def filters(*told: Json) -> Filters:
    made = build_filters(json.dumps(told), no_secret)
    assert not made.unusable
    return made


def context() -> Context:
    return Context("ada", "acme", "chat", "gpt-4o", "id-1")


def asking(content: Any, path: str = CHAT, **more: Any) -> Request:
    document = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], **more}
    return parse_request(path, json.dumps(document).encode())


def answer_of(content: str) -> Json:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def chunk(delta: Json, finish_reason: str | None = None, index: int = 0) -> Json:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def through(answering: AnswerFilter, deltas: Iterable[Json]) -> tuple[list[Json], bool]:
    """The chunks that come out, and whether `[DONE]` does."""
    events = [*map(plain_event, map(chunk, deltas)), plain_event(chunk({}, "stop")), b"data: [DONE]\n\n"]
    out = b"".join(map(answering.feed, events)) + answering.finish()
    told = [line.removeprefix(b"data: ") for line in out.split(b"\n\n") if line]
    return [json.loads(one) for one in told if one != b"[DONE]"], b"[DONE]" in told


def said(chunks: Sequence[Json], name: str = "content", index: int = 0) -> str:
    choices = [choice for one in chunks for choice in one.get("choices", ()) if choice["index"] == index]
    return "".join(choice["delta"].get(name) or "" for choice in choices)

"""What the upstream of the gateway's bench answers, so that its clients can compare it byte for byte. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CHUNKS = 200
"""Of a stream, each an event with a piece of the text; the role comes before them, finish, usage and [DONE] after."""
WHOLE_BYTES = 1024
_IDENTITY = {"id": "chatcmpl-bench", "created": 1767225600, "model": "bench"}
_USAGE = {"prompt_tokens": 16, "completion_tokens": CHUNKS, "total_tokens": 16 + CHUNKS}


def _event(choices: list[Any], **more: Any) -> bytes:
    chunk = {**_IDENTITY, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _piece(delta: Mapping[str, str], finish: str | None = None) -> list[Any]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]


def _whole() -> bytes:
    """An answer of exactly WHOLE_BYTES."""

    def of(text: str) -> bytes:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        answer = {**_IDENTITY, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
        return json.dumps(answer, separators=(",", ":")).encode()

    return of("a" * (WHOLE_BYTES - len(of(""))))


WHOLE = _whole()
FIRST = _event(_piece({"content": " 1"}))
"""The first event with content."""
EVENTS = (
    _event(_piece({"role": "assistant", "content": ""})),
    *(_event(_piece({"content": f" {number}"})) for number in range(1, CHUNKS + 1)),
    _event(_piece({}, "stop")),
)
COUNTED = _event([], usage=_USAGE)
"""The event that comes where the request asks for usage."""
DONE = b"data: [DONE]\n\n"
STREAM = b"".join((*EVENTS, COUNTED, DONE))

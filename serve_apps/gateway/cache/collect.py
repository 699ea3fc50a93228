"""An answer on its way out, put together for the cache: only one that is whole and says nothing but text. Pure."""

from __future__ import annotations

import json
from typing import Any

from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.sse import DONE, MOST_EVENT_BYTES, EventSplitter

ENDED = ("stop", "length")
TEXTS = ("content", "reasoning_content", "reasoning")
SAID = frozenset({"role", *TEXTS})
MOST = 1 << 20
"""Bytes of an answer that may be kept."""


def keepable(completion: Any) -> bool:
    """Whether a chat or a text completion may be kept: one choice, ended by itself or its length, text and no more."""
    if not isinstance(completion, dict) or completion.get("error"):
        return False
    match completion.get("choices"):
        case [{"message": {"content": str() as text, **said}, "finish_reason": "stop" | "length"}] if text:
            return not any(value for name, value in said.items() if name not in SAID and name != "annotations")
        case [{"text": str() as text, "finish_reason": "stop" | "length"}]:
            return text != ""
    return False


class Collector:
    """Feeds on the bytes of one stream of chat chunks or text completions, cut anywhere.

    Nothing is raised: what cannot be read, has an error, a call, a refusal or a second choice, grows over `MOST` bytes,
    or does not come to its `[DONE]`, makes no completion.
    """

    def __init__(self) -> None:
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._texts: dict[str, list[str]] = {}
        self._head: Json = {}
        self._usage: Json | None = None
        self._reason = ""
        self._size = 0
        self._spoilt = self._done = False

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._spoilt or self._size > 64 * MOST:
            self._spoilt = True
            return
        try:
            for event in self._splitter.feed(chunk):
                self._event(event.data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            self._spoilt = True

    def completion(self) -> Json | None:
        """The whole answer, once the stream has ended; None where it may not be kept."""
        if self._spoilt or not self._done or self._reason not in ENDED:
            return None
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        chat = self._head.get("object") == "chat.completion.chunk"
        said: Json = {"message": {"role": "assistant"} | texts} if chat else texts
        made = self._head | {
            "object": "chat.completion" if chat else "text_completion",
            "choices": [{"index": 0, "logprobs": None, "finish_reason": self._reason} | said],
        }
        if self._usage is not None:
            made["usage"] = self._usage
        return made if keepable(made) else None

    def _event(self, data: bytes) -> None:
        if data == DONE:
            self._done = True
            return
        chunk = json.loads(data)
        if chunk.get("error"):
            raise ValueError("an error")
        if not self._head:
            self._head = {name: chunk[name] for name in ("id", "object", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) != 0:
                raise ValueError("a second choice")
            delta = choice.get("delta")
            for name, value in delta.items() if isinstance(delta, dict) else [("text", choice.get("text"))]:
                if not value or name == "role":
                    continue
                if name not in (*TEXTS, "text") or not isinstance(value, str):
                    raise ValueError(f"'{name}' is not text")
                self._texts.setdefault(name, []).append(value)
            self._reason = choice.get("finish_reason") or self._reason

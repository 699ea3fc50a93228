"""A stream that breaks off, continued by another backend: what it is asked, and how two streams become one. Pure.

Only plain text can be: the next backend is given what was said so far as the beginning of its own answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from serve_apps.gateway.body import CHAT, Request
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.dialects.sse import DONE, MOST_EVENT_BYTES, EventSplitter, plain_event
from serve_apps.gateway.table import Route

MOST = 2
"""How often one answer is continued."""
UNABLE = ("openai",)
"""Providers whose API begins every answer anew."""
NOT_PLAIN = ("tools", "functions", "logprobs", "audio", "prediction")
BOUNDS = ("max_tokens", "max_completion_tokens")


def may_continue(request: Request) -> bool:
    """Whether the answer to a chat will be nothing but one text that comes as a stream."""
    document = request.document
    if request.path != CHAT or document.get("stream") is not True or document.get("n") not in (None, 1):
        return False
    shape = document.get("response_format")
    free = shape is None or (isinstance(shape, dict) and shape.get("type") == "text")
    return free and not any(document.get(name) for name in NOT_PLAIN)


def rest_of(request: Request, said: str, tokens: int) -> Request:
    """What is asked for the rest of an answer of which `said` was given, about `tokens`. vLLM takes the last message
    for the answer's beginning where it is told to, Anthropic always; the latter refuses one that ends in white space.
    """
    document = {
        **request.document,
        "messages": [*request.document["messages"], {"role": "assistant", "content": said.rstrip()}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }
    for name in BOUNDS:
        if type(most := document.get(name)) is int:
            document[name] = max(1, most - tokens)
    return replace(request, document=document, raw=json.dumps(document).encode(), prompt=document["messages"])


def passed_over(route: Route, broken: Mapping[str, str]) -> dict[str, str]:
    """Why which backends of a route are not asked for the rest, by name; `broken` has those that broke off."""
    unable = {spec.name: "it cannot go on with an answer" for spec in route.backends if spec.provider in UNABLE}
    return unable | dict(broken)


class Joined:
    """Feeds on the bytes of a chat's stream, and after `goes_on` on those of the stream that continues it.

    `text` is what was said so far. `plain` is whether it was nothing else, and has not ended. `broken` is the error
    event that a stream ended in, which is not passed on; empty where it did not.
    """

    def __init__(self) -> None:
        self.text = ""
        self.plain = True
        self.broken = b""
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._id: object = None
        self._continuing = False
        self._blank = ""  # what `rest_of` left out of the text so far, and the rest may repeat

    def goes_on(self) -> None:
        self.broken = b""
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._continuing = True
        self._blank = self.text[len(self.text.rstrip()) :]

    def feed(self, body: bytes, last: bool) -> bytes:
        """What the client gets. Raises ValueError where it is no stream of a chat."""
        events = self._splitter.feed(body) + (self._splitter.finish() if last else [])
        return b"".join(self._event(event.data) for event in events)

    def _event(self, data: bytes) -> bytes:
        if data == DONE:
            return b"data: " + data + b"\n\n"
        chunk = json.loads(data)
        if chunk.get("error"):
            self.broken = b"data: " + data + b"\n\n"
            return b""
        self._id = self._id or chunk.get("id")
        for choice in chunk.get("choices") or ():
            self._said(choice)
        if not self._continuing:
            return b"data: " + data + b"\n\n"
        return plain_event(chunk | {"id": self._id})

    def _said(self, choice: Json) -> None:
        delta = choice.get("delta") or {}
        more = any(value for name, value in delta.items() if name not in ("role", "content"))
        self.plain = self.plain and not more and not choice.get("finish_reason")
        if self._continuing:
            delta.pop("role", None)
        if content := delta.get("content"):
            while self._blank and content[:1].isspace():
                self._blank, content = self._blank[1:], content[1:]
            self._blank = "" if content else self._blank
            delta["content"] = content
            self.text += content

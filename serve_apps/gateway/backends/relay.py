"""A backend's stream on its way to a client: as it came, or as that of a chat. Holds no connection.

Nothing is let through before real content came: until then another backend may still answer instead. What is added is
an honest end, as in `serve_apps/gateway/stream.py`.
"""

from __future__ import annotations

import json
from typing import Protocol

from serve_apps.gateway.dialects.chat_chunks import ChatChunks
from serve_apps.gateway.dialects.completions import text_chunks
from serve_apps.gateway.dialects.error_object import anthropic_error, status_of
from serve_apps.gateway.dialects.reading import Json, said_object
from serve_apps.gateway.dialects.sse import DONE, DONE_EVENT, MOST_EVENT_BYTES, EventSplitter, plain_event
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.stream import STREAM_CUT, EventRelay
from serve_apps.gateway.taken import Taken

REAL = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio")


class Relay(Protocol):
    """`began` is whether anything real came, `whole` whether the answer came to its end; `told` is the error that the
    backend sent as an event, with the status that it stands for, None where it sent none.
    """

    whole: bool
    told: tuple[int, bytes] | None

    @property
    def began(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on, held until real content came. Raises ValueError for what is no such stream."""

    def finish(self) -> bytes:
        """The last bytes: an error event where the stream did not come to its end."""


class ChatRelay:
    """OpenAI's chunks, byte for byte but for a usage that is not `shown`."""

    def __init__(self, taken: Taken, *, shown: bool) -> None:
        self._taken, self._shown = taken, shown
        self.began = self.whole = False
        self.told: tuple[int, bytes] | None = None
        self._events = EventRelay()
        self._looking = EventSplitter(MOST_EVENT_BYTES)

    def feed(self, chunk: bytes) -> bytes:
        for event in () if self.began else self._looking.feed(chunk):
            self.began = self.began or _is_real(event.data)
        return self._taken.lines(self._events.feed(chunk), self._shown)

    def finish(self) -> bytes:
        last = self._taken.lines(self._events.finish(), self._shown)
        self.whole, self.told = self._events.whole, self._events.told()
        return last


class EventsRelay:
    """Anthropic's events as chunks of a chat, or of a `text` completion; with their usage where it is `counted`."""

    def __init__(self, taken: Taken, created: int, *, text: bool, counted: bool) -> None:
        self._taken = taken
        self.whole = False
        self.told: tuple[int, bytes] | None = None
        self._chunks = ChatChunks(created)
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._text, self._counted = text, counted

    @property
    def began(self) -> bool:
        return self._chunks.began

    def feed(self, chunk: bytes) -> bytes:
        found = [
            one
            for event in self._splitter.feed(chunk)
            if not self._chunks.ended
            for told in self._chunks.feed(said_object(event.data))
            for one in (text_chunks(told) if self._text else [told])
        ]
        if self._chunks.failed and self.told is None:
            error = next(one for one in found if one.get("error"))
            self.told = status_of(error), json.dumps(error).encode()
        self._taken.events += len(found)
        self._taken.usage, self._taken.partial = self._chunks.usage, not self._chunks.ended
        return b"".join(plain_event(one) for one in found if self._counted or one.get("choices") or one.get("error"))

    def finish(self) -> bytes:
        self.whole = self._chunks.ended
        if self.whole:
            return DONE_EVENT
        return b"" if self._chunks.failed else b"data: " + STREAM_CUT.body() + b"\n\n"


class NativeRelay:
    """Anthropic's events for a client of Anthropic's, byte for byte."""

    def __init__(self, taken: Taken) -> None:
        self.began = self.whole = False
        self.told: tuple[int, bytes] | None = None
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._taken = taken
        self._usage: Json = {}

    def feed(self, chunk: bytes) -> bytes:
        out = []
        for event in self._splitter.feed(chunk):
            if self.whole or self.told:
                break
            name = event.name if self.began and event.name else _kind(event.data)
            self._taken.events += name == "content_block_delta"
            if name in ("message_start", "message_delta"):
                self._count(said_object(event.data))
            self.began = self.began or name in ("content_block_delta", "message_delta")
            self.whole = name == "message_stop"
            if name == "error":
                self.told = status_of(said_object(event.data)), event.data
            data = event.data.decode(errors="replace").replace("\n", "\ndata: ")
            out.append(f"event: {name}\ndata: {data}\n\n".encode())
        self._taken.partial = not self.whole
        return b"".join(out)

    def _count(self, event: Json) -> None:
        """What is said last of each figure holds."""
        message = event.get("message", event)
        told = message.get("usage") if isinstance(message, dict) else None
        if isinstance(told, dict):
            self._usage |= {name: figure for name, figure in told.items() if figure is not None}
            self._taken.usage = Usage.of_anthropic(self._usage)

    def finish(self) -> bytes:
        if self.whole or self.told:
            return b""
        cut = anthropic_error(json.loads(STREAM_CUT.body()), STREAM_CUT.status)
        return b"event: error\ndata: " + json.dumps(cut).encode() + b"\n\n"


def _kind(data: bytes) -> str:
    """What an event of Anthropic's calls itself. Raises ValueError where it is none."""
    kind = said_object(data).get("type")
    if not isinstance(kind, str) or not kind.isidentifier():
        raise ValueError("an event without a type")
    return kind


def _is_real(data: bytes) -> bool:
    """Whether an event of a chat or a completion has something of an answer, or ends it. Raises ValueError where it is
    none.
    """
    if data == DONE:
        return True
    choices = said_object(data).get("choices") or ()
    try:
        return any(_says(choice) for choice in choices)
    except (AttributeError, TypeError):
        raise ValueError("its choices cannot be read") from None


def _says(choice: Json) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or choice.get("finish_reason") or any(delta.get(name) for name in REAL))

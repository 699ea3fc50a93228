"""Server-sent events: bytes into events and events into bytes."""

import json
from typing import NamedTuple

from serve_apps.gateway.dialects.reading import Json

DONE = b"[DONE]"
"""The data of the event that ends a stream of OpenAI's."""
DONE_EVENT = b"data: [DONE]\n\n"
MOST_EVENT_BYTES = 1 << 22
"""Of one event that a gateway looks into: a whole tool call or picture may be one."""

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder at every call
# ASCII only: half of a surrogate pair, which models do write, has no UTF-8.


class Event(NamedTuple):
    """`name` is empty where the stream gives none; `data` is undecoded, its lines joined by line feeds."""

    name: str
    data: bytes


class EventSplitter:
    """Feeds on chunks of one stream that may be cut anywhere, also within a character or a line's end.

    Lines end in LF or CRLF. Comments, ids and retry times are left out, events without data as well, as the standard
    has it. An event may have `limit` bytes, counted with the names of its fields; past it `feed` raises ValueError,
    however the bytes were cut.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial: list[bytes] = []
        self._size = 0
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete now."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        found: list[Event] = []
        for line in lines:
            self._grow(line)
            if self._partial:
                self._partial.append(line)
                line = b"".join(self._partial)
                self._partial.clear()
            self._line(line.removesuffix(b"\r"), found)
        if rest:
            self._grow(rest)
            self._partial.append(rest)
        return found

    def finish(self) -> list[Event]:
        """The event that the stream ended in without an empty line, if any: whole, as after `[DONE]`, or cut."""
        return self.feed(b"\n\n")

    def _grow(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > self._limit:
            raise ValueError(f"an event of more than {self._limit} bytes")

    def _line(self, line: bytes, found: list[Event]) -> None:
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                found.append(Event(self._name.decode(errors="replace"), data))
                self._data.clear()
            self._name, self._size = b"", 0
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.removeprefix(b" ")


def plain_event(document: Json) -> bytes:
    """An event of a stream of chat completions or completions."""
    return b"data: " + _encode(document).encode() + b"\n\n"


def named_event(document: Json) -> bytes:
    """An event of Anthropic's or of the Responses, which are named by their type."""
    return f"event: {document['type']}\ndata: {_encode(document)}\n\n".encode()

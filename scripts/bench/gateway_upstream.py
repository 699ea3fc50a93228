"""The upstream of the gateway's bench: OpenAI's chat completions with the same answer always, at the least cost.

Each port has a pace: milliseconds before the first byte, and between the events of a stream (0: as fast as they go,
but each event is a write of its own). GET /count says how many completions a port was asked for so far.

Usage: python -m scripts.bench.gateway_upstream PORT:FIRST_MS:GAP_MS ...
"""

from __future__ import annotations

import asyncio
import functools
import re
import sys
from dataclasses import dataclass
from typing import cast

import httptools
import uvloop

from scripts.bench.gateway_answer import COUNTED, DONE, EVENTS, WHOLE

_STREAM = re.compile(rb'"stream":\s*true')
_USAGE = re.compile(rb'"include_usage":\s*true')
_MODELS = b'{"object":"list","data":[{"id":"bench","object":"model"}]}'


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _sized(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


_WHOLE = _sized(WHOLE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


def _writes(*, counted: bool) -> tuple[bytes, ...]:
    """A stream as it is written: the head with the first event, each further event alone."""
    first, *further = map(_chunk, (*EVENTS, COUNTED, DONE) if counted else (*EVENTS, DONE))
    return (_HEAD + first, *further[:-1], further[-1] + _LAST)


_STREAMS = {counted: _writes(counted=counted) for counted in (False, True)}


@dataclass
class Door:
    """A port's pace, and how many completions it was asked for."""

    port: int
    first_s: float
    gap_s: float
    requests: int = 0

    @staticmethod
    def of(text: str) -> Door:
        """Of PORT:FIRST_MS:GAP_MS. Raises ValueError."""
        port, first_ms, gap_ms = text.split(":")
        return Door(int(port), float(first_ms) / 1000, float(gap_ms) / 1000)


class Answering(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._path, self._body = b"", b""
        self._left: tuple[bytes, ...] = ()
        self._at = 0
        self._full = False
        self._due: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their type

    def connection_lost(self, error: Exception | None) -> None:
        self._left, self._at = (), 0

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._due is None:
            self._next()

    def on_url(self, url: bytes) -> None:
        self._path, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            found = b'{"requests":%d}' % self._door.requests if self._path == b"/count" else _MODELS
            return self._transport.write(_sized(found))
        self._door.requests += 1
        stream = _STREAM.search(self._body)
        self._left = _STREAMS[bool(_USAGE.search(self._body))] if stream else (_WHOLE,)
        self._at = 0
        if self._door.first_s:
            return self._after(self._door.first_s)
        return self._next()

    def _next(self) -> None:
        self._due = None
        if self._full or self._at == len(self._left):
            return
        self._transport.write(self._left[self._at])
        self._at += 1
        if self._at < len(self._left):
            self._after(self._door.gap_s)

    def _after(self, seconds: float) -> None:
        loop = self._loop
        self._due = loop.call_later(seconds, self._next) if seconds else loop.call_soon(self._next)


async def answer(doors: list[Door]) -> None:
    loop = asyncio.get_running_loop()
    for door in doors:
        await loop.create_server(functools.partial(Answering, door), "127.0.0.1", door.port, backlog=1024)
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(answer([Door.of(text) for text in sys.argv[1:]]))

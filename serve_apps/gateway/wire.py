"""One HTTP/1.1 connection to an engine, as a protocol of the event loop on httptools' parser (llhttp).

General clients do per request what is done here per connection, or not at all: headers as text, cookies, redirects,
proxies, a context and a task for every timeout. On a gateway's path that was a third of its processor time. Nothing is
stored; a crash breaks the connection, and the engine aborts the request.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

Headers = list[tuple[bytes, bytes]]
KEEP_SECONDS = 30.0
"""How long an unused connection is kept."""
HASTE_MS = 500
"""A machine that vanished says nothing. The kernel then breaks a connection at the first retry that is so long after
what we sent: in effect after 0.9 s. One that is silent is asked after a second, and has another one to answer."""
MOST_HASTY = 1 << 15
"""Bytes of a request for which that holds. One that fills the receiver's buffer waits until the engine reads on, which
to the kernel looks the same; a lost machine is then found by its missing reports."""
STALE_SECONDS = 1.0
"""In so long a peer that had closed a connection has said so; one that was silent for longer worked on the request."""
MOST_UNREAD = 1 << 18
"""Bytes of an answer that its reader has not taken, from which on no more are read from the socket."""

MOST_HELD = 1 << 28
"""Bytes of an answer that is not streamed: ten times what the largest batch of embeddings takes."""


@dataclass(frozen=True, slots=True)
class Origin:
    host: str
    port: int
    tls: bool


@lru_cache(4096)
def locate(url: str) -> tuple[Origin, bytes, bytes]:
    """Where `url` leads: the origin, its `host` header, the path. Raises ValueError where that cannot be told."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        raise ValueError(f"{url} is not an address of HTTP")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls), parts.netloc.encode(), path.encode()


class Wire(asyncio.Protocol):
    """One request at a time: `ask`, then the head in `status` and `headers` (names in lower case), then `chunk`s until
    an empty one, then `ask` again while it is `reusable`.

    It is `stale` where it was kept since another request and its peer closed it at once, before a byte of an answer to
    the last one: as a rule it had done so before it had the request. One whose repetition does no harm may be sent
    again, once (RFC 9112, 9.3.1).

    `ask` and `chunk` raise ConnectionError where the connection breaks or what comes is not HTTP, and TimeoutError
    where nothing came for `silence_s` seconds or the moment `until` on the loop's clock is past.
    """

    def __init__(self, origin: Origin, nearby: bool) -> None:
        self.origin = origin
        self._nearby = nearby
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failed: Exception | None = None
        self._socket: socket.socket
        self._hasty = False
        self._kept = False
        self.stale = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self._head_done = self._done = self._sized = self._keeps = False
        self._heard = False
        self._parts: list[bytes] = []
        self._unread = 0

    async def ask(self, request: bytes, silence_s: float, until: float) -> None:
        """Returns when the head of the answer is there."""
        if self.status:
            self._kept = True
            self._begin()
        hasty = self._nearby and len(request) <= MOST_HASTY
        if hasty is not self._hasty:
            self._hasty = hasty
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, HASTE_MS if hasty else 0)
        self._silence_s, self._until = silence_s, until
        self._transport.write(request)
        while not self._head_done:
            await self._wait()

    async def chunk(self) -> bytes:
        """What came of the body since the last one; empty at its end."""
        while not self._parts:
            if self._done:
                return b""
            await self._wait()
        parts = self._parts
        found = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._unread > MOST_UNREAD:
            self._transport.resume_reading()
        self._unread = 0
        return found

    async def rest(self) -> bytes:
        """All of the body that is still to come. Raises ConnectionError as well where that is too much to hold."""
        parts, size = [], 0
        while part := await self.chunk():
            parts.append(part)
            size += len(part)
            if size > MOST_HELD:
                raise ConnectionError(f"its answer has more than {MOST_HELD} bytes")
        return b"".join(parts)

    @property
    def reusable(self) -> bool:
        return self._done and self._keeps and self._failed is None and not self._parts

    @property
    def fresh(self) -> bool:
        """Whether it was never used."""
        return not self.status

    def close(self) -> None:
        self._stop_timer()
        self._transport.abort()

    async def _wait(self) -> None:
        """Until something came. Raises why nothing will."""
        if self._failed is not None:
            raise self._failed
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(min(self._since + self._silence_s, self._until), self._look)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look(self) -> None:
        """Whether it is silent for too long. One timer serves all waits: it is set again, not at every chunk."""
        now = self._loop.time()
        self._timer = None
        if self._waiter is None:
            return  # the next wait begins it anew
        if now >= min(self._since + self._silence_s, self._until):
            self._fail(TimeoutError())
        else:
            self._timer = self._loop.call_at(min(self._since + self._silence_s, self._until), self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._failed is None:
            self._failed = error
        self._wake()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their type
        self._socket = transport.get_extra_info("socket")
        if not self._nearby:
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, 1)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._done:
            self._fail(ConnectionError("it speaks out of turn"))
            return self._transport.abort()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(str(error)))
            return self._transport.abort()
        if self._unread > MOST_UNREAD:
            self._transport.pause_reading()
        self._wake()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._head_done and not self._sized and exc is None:
            self._done = True  # an answer that said no length ends with its connection
        if self._kept and not self._heard and (exc is None or isinstance(exc, ConnectionError)):
            self.stale = self._loop.time() - self._since < STALE_SECONDS
        self._fail(ConnectionError("it closed the connection"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._done:
            raise ConnectionError("it speaks out of turn")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # else it is a trailer, which nobody asked for
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = []
            return
        self._head_done = True
        self._keeps = self._parser.should_keep_alive()
        self._sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._done = True
            self._stop_timer()


class Wires:
    """Connections that wait for their next request, by origin. The one used last is used first, so that those that are
    too many grow old, and old ones go.

    Of a peer that is `nearby`, in this cluster, silence of the kernel's is taken for its end at once; on the way to
    others packets are lost every day.
    """

    def __init__(self, *, nearby: bool = True) -> None:
        self._nearby = nearby
        self._idle: dict[Origin, deque[tuple[Wire, float]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._swept = 0.0

    async def to(self, origin: Origin, connect_s: float) -> Wire:
        """An open connection. Raises as `fresh` does."""
        idle = self._idle.get(origin)
        while idle:
            wire, _ = idle.pop()
            if wire.reusable:
                return wire
        return await self.fresh(origin, connect_s)

    async def fresh(self, origin: Origin, connect_s: float) -> Wire:
        """A new connection. Raises OSError where there is none to be had, TimeoutError after `connect_s` seconds."""
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        async with asyncio.timeout(connect_s):
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: Wire(origin, self._nearby), origin.host, origin.port, ssl=self._tls if origin.tls else None
            )
        return made

    def give_back(self, wire: Wire) -> None:
        """Keeps it for another request, or closes it where there can be none."""
        if not wire.reusable:
            return wire.close()
        now = asyncio.get_running_loop().time()
        self._idle.setdefault(wire.origin, deque()).append((wire, now))
        if now - self._swept > KEEP_SECONDS:
            self._sweep(now)
        return None

    def close(self) -> None:
        self._sweep(math.inf)

    def _sweep(self, now: float) -> None:
        self._swept = now
        for origin, idle in list(self._idle.items()):
            while idle and (now - idle[0][1] > KEEP_SECONDS or not idle[0][0].reusable):
                idle.popleft()[0].close()
            if not idle:
                del self._idle[origin]

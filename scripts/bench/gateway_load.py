"""The clients of the gateway's bench: each asks again as soon as it has its answer, over one keep-alive connection.

They share the machine with what they measure, so there is no task and no future a request: the protocol itself sends
the next one. Every answer is compared with what the upstream sent, byte for byte.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from scripts.bench.gateway_answer import FIRST
from scripts.bench.serving_load import SPREAD_SECONDS, Route, undisturbed

RAMP_SECONDS = 0.3
"""At a turn's begin, in which nothing counts."""
LONGEST_SECONDS = 60.0
"""How long answers may take to come after a turn's end."""
_SIZED = re.compile(rb"\r\ncontent-length:\s*(\d+)\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EVENT = b"data: "
_SHOWN = 200

Check = Callable[[bytes], str]
"""What is wrong with a body, empty where nothing is."""


@dataclass
class Turn:
    """What came in `seconds`, the ramp left out; the times in seconds.

    `asked` are all requests, those of the ramp and those that ended too late among them; `ended` are the ones that
    ended in time. `took` is from sending to the end, `first` to the first event with content. `events` came in `reads`
    of the socket. `cpu` is what part of one core the clients used.
    """

    seconds: float
    cpu: float = 0.0
    asked: int = 0
    ended: int = 0
    events: int = 0
    reads: int = 0
    took: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


def exactly(expected: bytes) -> Check:
    def check(body: bytes) -> str:
        if body == expected:
            return ""
        at = next((at for at, (a, b) in enumerate(zip(body, expected, strict=False)) if a != b), len(body))
        shown = body[max(0, at - 40) : at + _SHOWN]
        return f"{len(body)} bytes came, expected {len(expected)}; they differ from byte {at} on: {shown!r}"

    return check


def without_chunks(body: bytes) -> bytes:
    """The content of a body in HTTP's chunks. Raises ValueError where it is none."""
    parts, at = [], 0
    while size := int(body[at : (line := body.index(b"\r\n", at))], 16):
        parts.append(body[line + 2 : line + 2 + size])
        at = line + 4 + size
    return b"".join(parts)


def milliseconds(seconds: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(seconds, percent)) * 1000, 3)


class Client(asyncio.Protocol):
    """`ended` has what is wrong, empty where nothing is, when it asks no more."""

    def __init__(self, request: bytes, check: Check, stream: bool, turn: Turn) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._request = request
        self._check = check
        self._stream = stream
        self._turn = turn
        self._transport: asyncio.Transport
        self._from = self._until = self._began = self._first = 0.0
        self._parts: list[bytes] = []
        self._size = self._head = 0
        self._whole = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their type
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"the connection broke: {error}" if error else "the connection was closed")

    def start(self, counts_from: float, until: float) -> None:
        """Asks until the moment `until`; what comes from `counts_from` on counts."""
        self._from, self._until = counts_from, until
        self._ask()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        parts = self._parts
        parts.append(data)
        self._size += len(data)
        if self._stream and self._from <= now < self._until:
            self._turn.events += data.count(_EVENT)
            self._turn.reads += 1
        if not self._head:
            data = b"".join(parts)
            self._read_head(data)
        if not self._first and FIRST in data:
            self._first = now
        if self._whole < 0:
            # Some servers write the last chunk, which is empty, alone.
            last = data if len(data) >= len(_LAST_CHUNK) else b"".join(parts[-len(_LAST_CHUNK) :])
            if last.endswith(_LAST_CHUNK):
                self._answered(now)
        elif self._size == self._whole:
            self._answered(now)

    def _ask(self) -> None:
        self._parts, self._size, self._head, self._whole, self._first = [], 0, 0, -1, 0.0
        self._turn.asked += 1
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def _read_head(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        self._head = end
        if not data.startswith(b"HTTP/1.1 200 "):
            self._end(data[: end + _SHOWN].decode(errors="replace"))
        elif sized := _SIZED.search(data, 0, end):
            self._whole = end + int(sized[1])

    def _answered(self, now: float) -> None:
        turn, body = self._turn, b"".join(self._parts)[self._head :]
        if trouble := self._check(without_chunks(body) if self._whole < 0 else body):
            return self._end(trouble)
        if self._began >= self._from:
            turn.took.append(now - self._began)
            if self._stream:
                turn.first.append(self._first - self._began)
        turn.ended += self._from <= now < self._until
        if now < self._until:
            return self._ask()
        return self._end("")

    def _end(self, trouble: str) -> None:
        if not self.ended.done():
            self.ended.set_result(trouble)


async def take_turn(route: Route, request: bytes, check: Check, *, stream: bool, clients: int, seconds: float) -> Turn:
    """`clients` connections that ask for `seconds`. Raises RuntimeError where an answer is not the wanted one."""
    loop = asyncio.get_running_loop()
    turn = Turn(seconds)
    asking = [
        (await loop.create_connection(lambda: Client(request, check, stream, turn), *route.address))[1]
        for _ in range(clients)
    ]
    try:
        with undisturbed():
            began = time.perf_counter()
            counts_from = began + RAMP_SECONDS
            for number, client in enumerate(asking):
                loop.call_later(number * SPREAD_SECONDS, client.start, counts_from, counts_from + seconds)
            cpu = time.process_time()
            async with asyncio.timeout(RAMP_SECONDS + seconds + LONGEST_SECONDS):
                troubles = await asyncio.gather(*(client.ended for client in asking))
            turn.cpu = (time.process_time() - cpu) / (time.perf_counter() - began)
    finally:
        for client in asking:
            client.close()
    if trouble := next(filter(None, troubles), ""):
        raise RuntimeError(f"{route.url}: {trouble}")
    return turn

"""The clients of the serving benches: chat completions over keep-alive connections, with the time of every read.

What runs while bytes arrive is one list append and one look at the last seven bytes: the clients share the machine
with what they measure. What an answer was is worked out when it is whole.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import cast
from urllib.parse import urlsplit

ANSWER_SECONDS = 300.0
"""How long a client waits for the whole answer at most."""
SPREAD_SECONDS = 0.001
"""How long after another each client of a turn begins: users are no chorus, and an engine that takes the same time for
every answer would keep them one."""
PAUSE_SECONDS = 0.05
"""After an answer that was none: whoever refuses at once is not asked a thousand times a second."""
_EVENT = b"data: "
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_USAGE = re.compile(rb'"completion_tokens":\s*(\d+)')
_ERROR_EVENT = re.compile(rb'data: \{"error"')
_SIZED = re.compile(rb"^content-length:\s*(\d+)\s*$", re.IGNORECASE | re.MULTILINE)
_CLOSES = re.compile(rb"^connection:\s*close\s*$", re.IGNORECASE | re.MULTILINE)
_SHOWN = 160


@dataclass(frozen=True)
class Route:
    """One way to ask the model: the URL of its chat endpoint, the bearer key (empty for none)."""

    url: str
    key: str = ""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80


@dataclass(frozen=True)
class Answer:
    """What became of one request; times in seconds. `began` is on the monotonic clock.

    `first` is from sending to the first token of a stream (of an answer that comes whole: to its end), `gaps` are
    between the tokens that follow, `took` is to the end. `trouble` says what is wrong with it, empty when nothing is;
    `told` is True where a broken stream ended with an error event.
    """

    began: float
    took: float
    first: float
    gaps: tuple[float, ...] = ()
    tokens: int = 0
    status: int = 0
    version: str = ""
    replica: str = ""
    trouble: str = ""
    told: bool = False


@dataclass(frozen=True)
class Turn:
    """What `requests` requests came to, asked by a fixed number of clients at once. `cpu` is what part of one core the
    clients themselves used."""

    seconds: float
    cpu: float
    answers: tuple[Answer, ...]

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds


@dataclass
class _Reads:
    """What has arrived of one answer. `head` is its length with the empty line, 0 while it is not whole."""

    chunks: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    size: int = 0
    head: int = 0
    whole: int | None = None
    tail: bytes = b""


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._reads = _Reads()
        self._ended: asyncio.Future[str] | None = None
        self._transport: asyncio.Transport | None = None
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.usable = True

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self._end(f"the connection broke: {error}" if error else "the connection was closed")

    def data_received(self, data: bytes) -> None:
        reads = self._reads
        reads.times.append(time.perf_counter())
        reads.chunks.append(data)
        reads.size += len(data)
        if not reads.head:
            self._read_head()
        if reads.whole is None:
            reads.tail = (reads.tail + data)[-len(_LAST_CHUNK) :]
            if reads.tail == _LAST_CHUNK:
                self._end("")
        elif reads.head and reads.size >= reads.whole:
            self._end("")

    async def ask(self, request: bytes, tokens: int, *, stream: bool) -> Answer:
        """Send it and wait for the end of its answer, whatever it is; `tokens` are how many it should have."""
        assert self._transport is not None
        self._reads = _Reads()
        self._ended = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._transport.write(request)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                trouble = await self._ended
        except TimeoutError:
            trouble = f"no whole answer within {ANSWER_SECONDS:.0f} s"
            self.usable = False
        if self._reads.head and _CLOSES.search(b"".join(self._reads.chunks)[: self._reads.head]):
            self.usable = False
        return _answer(self._reads, began, time.perf_counter(), tokens, stream, trouble)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _read_head(self) -> None:
        reads = self._reads
        raw = b"".join(reads.chunks)
        end = raw.find(b"\r\n\r\n")
        if end < 0:
            return
        reads.head = end + 4
        if sized := _SIZED.search(raw[:end].replace(b"\r", b"")):
            reads.whole = reads.head + int(sized[1])

    def _end(self, trouble: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(trouble)


def _answer(reads: _Reads, began: float, ended: float, tokens: int, stream: bool, trouble: str) -> Answer:
    raw = b"".join(reads.chunks)
    head, body = raw[: reads.head].decode("latin-1"), raw[reads.head :]
    status = int(head.split(" ", 2)[1]) if reads.head else 0
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    counted = _USAGE.findall(body)
    got = int(counted[-1]) if counted else 0
    ends = list(accumulate(map(len, reads.chunks)))
    events = (
        [reads.times[bisect_right(ends, reads.head + match.start())] - began for match in re.finditer(_EVENT, body)]
        if stream
        else []
    )
    told = False
    if status and status != 200:
        trouble = f"status {status}: {_shown(body)}"
    elif stream and status == 200 and _ERROR_EVENT.search(body):
        told, trouble = True, f"error event: {_shown(body[body.rfind(b'data: {') :])}"
    elif stream and status == 200 and b"data: [DONE]" not in body:
        trouble = f"the stream stopped without a word after {len(events)} events{': ' + trouble if trouble else ''}"
    elif not trouble and got != tokens:
        trouble = f"{got} tokens came, expected {tokens}: {_shown(body)}"
    # The role comes before the first token, usage and [DONE] after the last one.
    spoken = events[1:-2] if len(events) > 3 else events
    return Answer(
        began=began,
        took=ended - began,
        first=spoken[0] if spoken else ended - began,
        gaps=tuple(after - before for before, after in pairwise(spoken)),
        tokens=0 if trouble else got,
        status=status,
        version=fields.get("x-biplane-version", ""),
        replica=fields.get("x-biplane-replica", ""),
        trouble=trouble,
        told=told,
    )


def _shown(body: bytes) -> str:
    return body[:_SHOWN].decode(errors="replace").strip()


def chat_request(
    route: Route, model: str, tokens: int, *, stream: bool, headers: Mapping[str, str] | None = None
) -> bytes:
    """The whole HTTP request that asks for exactly `tokens` tokens."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What does HTTP status 404 mean?"}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
    }
    data = json.dumps(body).encode()
    host, port = route.address
    named = {
        "Host": f"{host}:{port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        **({"Authorization": f"Bearer {route.key}"} if route.key else {}),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST {urlsplit(route.url).path} HTTP/1.1\r\n{head}\r\n".encode() + data


async def connect(route: Route) -> Connection:
    """Raises OSError where nobody listens."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, *route.address)
    return connection


async def take_turn(route: Route, request: bytes, tokens: int, *, stream: bool, clients: int, requests: int) -> Turn:
    """`clients` connections that each ask again as soon as they are answered, until `requests` were asked.

    Connections are made before the clock starts. Raises RuntimeError where an answer is not the wanted one.
    """
    connections = [await connect(route) for _ in range(clients)]
    left = iter(range(requests))
    answers: list[Answer] = []

    async def client(number: int, connection: Connection) -> None:
        await asyncio.sleep(number * SPREAD_SECONDS)
        for _ in left:
            answer = await connection.ask(request, tokens, stream=stream)
            if answer.trouble:
                raise RuntimeError(f"{route.url}: {answer.trouble}")
            answers.append(answer)

    try:
        with undisturbed():
            cpu, began = time.process_time(), time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number, connection in enumerate(connections):
                    group.create_task(client(number, connection))
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    except* RuntimeError as errors:
        raise errors.exceptions[0] from None
    finally:
        for connection in connections:
            connection.close()
    return Turn(seconds, cpu / seconds, tuple(answers))


class Load:
    """Clients that ask for streams through one route without a pause, from `start` to `stop`; `answers` so far.

    A client whose connection broke makes another. One that finds nobody listening counts that as an answer and tries
    again after PAUSE_SECONDS.
    """

    def __init__(self, route: Route, model: str, tokens: int, clients: int) -> None:
        self.answers: list[Answer] = []
        self._route = route
        self._tokens = tokens
        self._clients = clients
        self._request = chat_request(route, model, tokens, stream=True)
        self._running = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Does nothing where it runs already."""
        if not self._running:
            self._running = True
            self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]

    async def stop(self) -> None:
        """Returns when every request has its answer."""
        self._running = False
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        await asyncio.sleep(number * SPREAD_SECONDS)
        connection: Connection | None = None
        while self._running:
            began = time.perf_counter()
            try:
                if connection is None or not connection.usable:
                    connection = await connect(self._route)
            except OSError as error:
                took = time.perf_counter() - began
                self.answers.append(Answer(began, took, took, trouble=f"no connection: {error}"))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            answer = await connection.ask(self._request, self._tokens, stream=True)
            self.answers.append(answer)
            if not connection.usable:
                connection.close()
            if answer.trouble:
                await asyncio.sleep(PAUSE_SECONDS)
        if connection is not None:
            connection.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector, whose pauses would be taken for the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

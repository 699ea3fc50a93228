"""A backend that does what a script says, byte for byte, and what one that is well says in either dialect."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

STREAM = "text/event-stream"


@dataclass
class Talk:
    """One connection that the gateway opened."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """The body of the next request, which may be the last. Raises IncompleteReadError where there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return await self.reader.readexactly(length)

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def drip(self, data: bytes, every_s: float) -> None:
        """One byte at a time."""
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(every_s)

    def reset(self) -> None:
        """Ends with RST, not with FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Says nothing until the gateway leaves."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class Scripted:
    """Plays `script` on each connection, one after another on the same where it returns while the other side stays.
    `asked` is how many connections there were, `left` when they ended, on the loop's clock.
    """

    script: Script
    url: str = ""
    asked: int = 0
    left: list[float] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    server: asyncio.Server = field(init=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.writers.add(writer)
        try:
            await self.script(Talk(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.left.append(asyncio.get_running_loop().time())
            self.writers.discard(writer)
            writer.close()

    async def until_left(self) -> float:
        """When the last connection ended."""
        while self.writers or not self.left:
            await asyncio.sleep(0.002)
        return self.left[-1]


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    made = Scripted(script)
    made.server = server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in list(made.writers):
            writer.transport.abort()
        await server.wait_closed()


def response(status: int, document: Any, **headers: str) -> bytes:
    """A whole answer, JSON unless it is bytes already."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    return head(status, **told) + body


def head(status: int = 200, **headers: str) -> bytes:
    """Of a stream that ends with its connection, where nothing else is said."""
    told = headers or {"content-type": STREAM}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name.replace('_', '-')}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def sse(document: Any) -> bytes:
    name = f"event: {document['type']}\n" if "type" in document else ""
    return f"{name}data: {json.dumps(document)}\n\n".encode()


@dataclass(frozen=True)
class Dialect:
    """How a backend says `Hello there`: as a document, and in a stream what comes `before` any content, the `first`
    and the `second` word, and the `end`.
    """

    name: str
    whole: dict[str, Any]
    before: bytes
    first: bytes
    second: bytes
    end: bytes

    @property
    def stream(self) -> bytes:
        return self.before + self.first + self.second + self.end

    def error(self, code: str, kind: str) -> dict[str, Any]:
        """An error object; Anthropic's have no code."""
        if self.name == "anthropic":
            return {"type": "error", "error": {"type": kind, "message": f"it says {code}"}}
        return {"error": {"message": f"it says {code}", "type": kind, "param": None, "code": code}}


_CHAT: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "m"}


def _chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return sse(_CHAT | {"object": "chat.completion.chunk", "choices": [choice]})


OPENAI = Dialect(
    "openai",
    _CHAT
    | {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    },
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Hello"}),
    _chunk({"content": " there"}),
    _chunk({}, "stop") + b"data: [DONE]\n\n",
)
_MESSAGE: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
_USAGE = {"input_tokens": 7, "output_tokens": 2}
ANTHROPIC = Dialect(
    "anthropic",
    _MESSAGE | {"content": [{"type": "text", "text": "Hello there"}], "stop_reason": "end_turn", "usage": _USAGE},
    sse({"type": "message_start", "message": _MESSAGE | {"content": [], "stop_reason": None, "usage": _USAGE}})
    + sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    + sse({"type": "ping"}),
    sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
    sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}}),
    sse({"type": "content_block_stop", "index": 0})
    + sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}})
    + sse({"type": "message_stop"}),
)
DIALECTS = {one.name: one for one in (OPENAI, ANTHROPIC)}


def well(dialect: Dialect) -> Script:
    """Answers every request of a connection, streamed where it asks for that."""

    async def answer(talk: Talk) -> None:
        while True:
            asked = json.loads(await talk.request())
            if asked.get("stream"):
                sized = {"content-type": STREAM, "content-length": str(len(dialect.stream))}
                await talk.send(head(200, **sized), dialect.stream)
            else:
                await talk.send(response(200, dialect.whole))

    return answer

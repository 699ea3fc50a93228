"""The APIs that clients speak besides OpenAI's chat: their requests become chats, and the answers theirs.

What is behind sees chats only. Pure but for the answer's way out.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Send

from serve_apps.gateway.answer import JSON, Answer
from serve_apps.gateway.body import CHAT, MESSAGES, RESPONSES, Request, parse_request
from serve_apps.gateway.dialects.anthropic_events import AnthropicEvents
from serve_apps.gateway.dialects.anthropic_response import anthropic_response
from serve_apps.gateway.dialects.chat_request import chat_request
from serve_apps.gateway.dialects.error_object import anthropic_error
from serve_apps.gateway.dialects.reading import Json, said_object
from serve_apps.gateway.dialects.responses_events import ResponsesEvents
from serve_apps.gateway.dialects.responses_object import response_object
from serve_apps.gateway.dialects.responses_request import responses_chat_request
from serve_apps.gateway.dialects.sse import DONE, MOST_EVENT_BYTES, EventSplitter, named_event
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.stream import STREAM_CUT
from serve_apps.gateway.wire import Headers


class Stream(Protocol):
    """Chat chunks in, events of the client's API out: `ended` with the answer, or `failed` with an error's event."""

    ended: bool
    failed: bool

    def feed(self, chunk: Json) -> list[Json]: ...

    def done(self) -> list[Json]: ...


@dataclass(frozen=True)
class Surface:
    """`ask` makes a chat of a request, `tell` an answer of a chat's, both as parsed, the latter with the request and an
    id; `stream` likewise; `fail` writes an error of OpenAI's with its status.
    """

    ask: Callable[[Json], Json]
    tell: Callable[[Json, Json, str], Json]
    stream: Callable[[Json, str], Stream]
    fail: Callable[[Json, int], Json]


SURFACES = {
    MESSAGES: Surface(
        chat_request,
        lambda _, completion, __: anthropic_response(completion),
        lambda _, __: AnthropicEvents(),
        anthropic_error,
    ),
    RESPONSES: Surface(responses_chat_request, response_object, ResponsesEvents, lambda document, _: document),
}


def as_chat(request: Request) -> Request:
    """What is asked, as a chat. Raises ApiError 400 naming the parameter for what a chat cannot say."""
    surface = SURFACES.get(request.path)
    return parse_request(CHAT, json.dumps(surface.ask(request.document)).encode()) if surface else request


class SurfaceAnswer(Answer):
    """An answer to a client of `surface`, given as that of a chat."""

    def __init__(self, send: Send, request_id: bytes, surface: Surface) -> None:
        super().__init__(send, head_only=False, request_id=request_id)
        self._surface = surface
        self._made_id = f"resp_{request_id.decode('latin-1')}"
        self._request: Json = {}
        self._splitter = EventSplitter(MOST_EVENT_BYTES)
        self._stream: Stream | None = None
        self._streams, self._native, self._over = True, False, False

    def expect(self, request: Request, *, native: bool) -> None:
        """What is answered: as a chat, or where it is `native` in the client's own API already."""
        self._request, self._native, self._streams = request.document, native, not native

    async def error(self, error: ApiError) -> None:
        told = self._surface.fail(json.loads(error.body()), error.status)
        await self._whole(error.status, json.dumps(told).encode(), [JSON, *error.headers])

    async def whole(self, status: int, body: bytes, headers: Headers) -> None:
        """Raises ValueError where the engine's answer is not a chat's."""
        if not self._native:
            try:
                body = json.dumps(self._surface.tell(self._request, json.loads(body), self._made_id)).encode()
            except RecursionError:
                raise ValueError("it is nested too deeply") from None
        await self._whole(status, body, headers)

    async def part(self, body: bytes, last: bool = False) -> None:
        """Raises ValueError where it is no part of a chat's stream, or the last one without its end. The client has an
        error's event then, and gets no more parts.
        """
        if self._over:
            return
        try:
            body = self._translated(body, last) if self._streams else body
        except ValueError:
            body, self._over = _events(self._opened().feed(json.loads(STREAM_CUT.body()))), True
            await super().part(body, last=True)
            raise
        if body or last:
            await super().part(body, last)

    async def _whole(self, status: int, body: bytes, headers: Headers) -> None:
        self._streams = False
        await super().whole(status, body, headers)

    def _translated(self, body: bytes, last: bool) -> bytes:
        stream = self._opened()
        events: list[Json] = []
        for event in self._splitter.feed(body) + (self._splitter.finish() if last else []):
            events += stream.done() if event.data == DONE else stream.feed(said_object(event.data))
        if last and not (stream.ended or stream.failed):
            raise ValueError("it has no end")
        return _events(events)

    def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = self._surface.stream(self._request, self._made_id)
        return self._stream


def _events(events: list[Json]) -> bytes:
    return b"".join(map(named_event, events))

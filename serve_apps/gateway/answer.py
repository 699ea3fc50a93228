"""One HTTP answer on its way out, as ASGI messages, and what may stand in front of it."""

import json
from time import monotonic
from typing import Any, Protocol

from starlette.types import Send

from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.request_id import REQUEST_ID

JSON = (b"content-type", b"application/json")


class Sink(Protocol):
    """Where an answer is told to: `whole` once, or `start` and then `part`s, the last one marked. It has `started` when
    the client's has.
    """

    @property
    def started(self) -> bool: ...

    def expect(self, request: Request, *, native: bool) -> None:
        """What is answered, where that is to be told in another API than it is given: as a chat's or `native`."""

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None: ...

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

    async def part(self, body: bytes, last: bool = False) -> None: ...


class Answer:
    """The client's: a Sink, or `json` or `error` once; with `request_id`, and with the headers of `always` whatever it
    is.

    `status` is 0 until it starts, `first_at` when the first of its body was sent, on the monotonic clock, and `sent`
    how many bytes of it were.
    """

    def __init__(self, send: Send, head_only: bool, request_id: bytes) -> None:
        self.started = False
        self.status = 0
        self.first_at: float | None = None
        self.sent = 0
        self.request_id = request_id.decode("latin-1")
        self.always: list[tuple[bytes, bytes]] = []
        self._send = send
        self._head_only = head_only
        self._id = (REQUEST_ID, request_id)

    def expect(self, request: Request, *, native: bool) -> None:
        """It is told as it is given."""

    async def json(self, document: Any) -> None:
        await self.whole(200, json.dumps(document).encode(), [JSON])

    async def error(self, error: ApiError) -> None:
        await self.whole(error.status, error.body(), [JSON, *error.headers])

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.part(b"" if self._head_only else body, last=True)

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        self.status = status
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [self._id, *self.always, *headers]}
        )

    async def part(self, body: bytes, last: bool = False) -> None:
        if self.first_at is None and body:
            self.first_at = monotonic()
        self.sent += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})


class InFront:
    """A Sink in front of an `inner` one, but for what it changes."""

    def __init__(self, inner: Sink) -> None:
        self._inner = inner

    @property
    def started(self) -> bool:
        return self._inner.started

    def expect(self, request: Request, *, native: bool) -> None:
        self._inner.expect(request, native=native)

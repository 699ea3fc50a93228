"""An answer of a route on its way: kept for the cache as the backend gave it, told to the client as filters let it."""

from __future__ import annotations

import json
from collections.abc import Callable

from serve_apps.gateway.answer import InFront, Sink
from serve_apps.gateway.cache.collect import Collector
from serve_apps.gateway.dialects.reading import Json
from serve_apps.gateway.filters.answers import AnswerFilter
from serve_apps.gateway.stream import STREAM_CUT
from serve_apps.gateway.wire import Headers


class RouteAnswer(InFront):
    """In front of the client's `inner` one. `head` changes the answer's headers, `looking` makes what looks at it: anew
    for each attempt that comes to a `start`.

    The head of a stream waits for what filters let through. Raises ApiError where they refuse what was given: where
    anything was passed on before, the stream has its error event. Raises ValueError for what they cannot read: the
    stream has its error event, too, and gets no more parts.
    """

    def __init__(
        self, inner: Sink, head: Callable[[Headers], Headers], looking: Callable[[], AnswerFilter | None], keeps: bool
    ) -> None:
        super().__init__(inner)
        self._change = head
        self._make = looking
        self._keeps = keeps
        self._looking: AnswerFilter | None = None
        self._collector: Collector | None = None
        self._completion: Json | None = None
        self._waiting: tuple[int, Headers] | None = None
        self._over = False

    def completion(self) -> Json | None:
        """What the backend answered, once that is whole; None where it cannot be kept."""
        return self._completion or (self._collector.completion() if self._collector else None)

    async def whole(self, status: int, body: bytes, headers: Headers) -> None:
        looking = self._make()
        if self._keeps or looking:
            document = json.loads(body)
            self._completion = document if self._keeps else None
            body = json.dumps(looking.whole(document)).encode() if looking else body
        await self._inner.whole(status, body, self._change(headers))

    async def start(self, status: int, headers: Headers) -> None:
        self._waiting = status, headers
        self._looking, self._collector = self._make(), Collector() if self._keeps else None
        if self._looking is None:
            await self._begin()

    async def part(self, body: bytes, last: bool = False) -> None:
        if self._collector:
            self._collector.feed(body)
        if self._looking is None:
            return await self._inner.part(body, last)
        if self._over:
            return None
        try:
            told = self._looking.feed(body) + (self._looking.finish() if last else b"")
        except ValueError:
            self._over = True
            await self._begin()
            await self._inner.part(b"data: " + STREAM_CUT.body() + b"\n\n", last=True)
            raise
        if refused := self._looking.rejected:
            if self.started:
                await self._inner.part(told, last=True)
            raise refused
        if told or last:
            await self._begin()
            await self._inner.part(told, last)
        return None

    async def _begin(self) -> None:
        if self._waiting is not None:
            status, headers = self._waiting
            self._waiting = None
            await self._inner.start(status, self._change(headers))

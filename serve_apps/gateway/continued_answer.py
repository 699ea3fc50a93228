"""A stream to a client that more than one backend may tell, one after the other."""

from __future__ import annotations

from serve_apps.gateway.answer import InFront, Sink
from serve_apps.gateway.backends.continuation import Joined
from serve_apps.gateway.wire import Headers


class ContinuedAnswer(InFront):
    """In front of the client's `inner` one. A stream that breaks off waits for what follows: another `start`, or
    `give_up`.
    """

    def __init__(self, inner: Sink) -> None:
        self.joined = Joined()
        super().__init__(inner)

    async def whole(self, status: int, body: bytes, headers: Headers) -> None:
        await self._inner.whole(status, body, headers)

    async def start(self, status: int, headers: Headers) -> None:
        if not self.joined.broken:
            return await self._inner.start(status, headers)
        self.joined.goes_on()
        who = next((value for name, value in headers if name == b"x-biplane-backend"), b"another backend")
        return await self._inner.part(b": continued by %b\n\n" % who)

    async def part(self, body: bytes, last: bool = False) -> None:
        told = self.joined.feed(body, last)
        if told or last:
            await self._inner.part(told, last=last and not self.joined.broken)

    async def give_up(self) -> None:
        """Nobody continues it: the client is told so."""
        await self._inner.part(self.joined.broken, last=True)

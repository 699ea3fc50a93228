"""Places that requests take turns in, as a context: a request waits for one by its priority, and not for long.

Kept in memory. A crash forgets who waits.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from control.specs.api_key import Priority
from serve_apps.gateway.admission import Admission, Visitor
from serve_apps.gateway.errors import SERVER, ApiError

RETRY = (b"retry-after", b"1")


class Full(ApiError):
    """There was no place in time, or too many wait for one already."""

    def __init__(self, reason: str) -> None:
        message = f"Too many requests are in work: {reason}. Ask again later."
        super().__init__(503, "overloaded", message, kind=SERVER, headers=(RETRY,))


class Pool:
    """The places of one `Admission`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._waiting: dict[Visitor, asyncio.Future[None]] = {}

    def turn(self, priority: Priority, size: int, patience_s: float) -> Turn:
        """To be entered: a place for a request of `size` bytes, waited for `patience_s` seconds at the most."""
        return Turn(self, Visitor(priority, size), patience_s)

    async def enter(self, visitor: Visitor, patience_s: float) -> None:
        """Raises Full. A free place costs no timer."""
        if self._admission.enter(visitor):
            return
        dropped = self._admission.queue(visitor)
        if dropped is visitor:
            raise Full("as many as may wait do so already")
        loop = asyncio.get_running_loop()
        place = self._waiting[visitor] = loop.create_future()
        if dropped is not None:
            _end(self._waiting.pop(dropped), Full("one of a higher priority took its place in the queue"))
        timer = loop.call_later(patience_s, self._give_up, visitor, patience_s)
        try:
            await place
        except asyncio.CancelledError:
            if visitor.inside:  # since the moment in which it was cancelled
                self.leave(visitor)
            elif visitor in self._waiting:
                self._withdraw(visitor)
            raise
        finally:
            timer.cancel()

    def leave(self, visitor: Visitor) -> None:
        self._let_in(self._admission.leave(visitor))

    def shrink(self, visitor: Visitor, size: int) -> None:
        self._let_in(self._admission.shrink(visitor, size))

    def _give_up(self, visitor: Visitor, waited_s: float) -> None:
        if visitor in self._waiting:
            _end(self._withdraw(visitor), Full(f"there was no place within {waited_s:.1f} s"))

    def _withdraw(self, visitor: Visitor) -> asyncio.Future[None]:
        place = self._waiting.pop(visitor)
        self._let_in(self._admission.withdraw(visitor))
        return place

    def _let_in(self, visitors: list[Visitor]) -> None:
        for visitor in visitors:
            _end(self._waiting.pop(visitor))


class Turn:
    """One request's. Raises Full as it is entered."""

    __slots__ = ("_patience_s", "_pool", "_visitor")

    def __init__(self, pool: Pool, visitor: Visitor, patience_s: float) -> None:
        self._pool, self._visitor, self._patience_s = pool, visitor, patience_s

    def shrink(self, size: int) -> None:
        """The request turned out to be of `size` bytes, no more than it was thought to be."""
        self._pool.shrink(self._visitor, size)

    async def __aenter__(self) -> Turn:
        await self._pool.enter(self._visitor, self._patience_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.leave(self._visitor)


def _end(place: asyncio.Future[None], full: Full | None = None) -> None:
    """One wait. Whose task was cancelled meanwhile is told nothing."""
    if place.done():
        return
    if full is None:
        place.set_result(None)
    else:
        place.set_exception(full)

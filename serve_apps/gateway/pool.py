"""Places that requests take turns in, as a context: a request waits for one by its priority, and not for long.

Kept in memory. A crash forgets who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from control.specs.api_key import Priority
from serve_apps.gateway.admission import Admission, Visitor
from serve_apps.gateway.body import ClientGone
from serve_apps.gateway.errors import SERVER, ApiError

Left = Callable[[], Awaitable[bool]]
"""Returns True when a client has left, False where that cannot be found out."""
PATIENCE_SECONDS = 5.0
"""How long a request waits for its turn: longer than a burst lasts, and shorter than clients do."""
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

    def turn(self, priority: Priority, size: int, patience_s: float, left: Left | None = None) -> Turn:
        """To be entered: a place for a request of `size` bytes, waited for `patience_s` seconds at the most, and no
        longer than its client does.
        """
        return Turn(self, Visitor(priority, size), patience_s, left)

    async def enter(self, visitor: Visitor, patience_s: float, left: Left | None) -> None:
        """Raises Full, and ClientGone. A free place costs no timer."""
        if self._admission.enter(visitor):
            return
        dropped = self._admission.queue(visitor)
        if dropped is visitor:
            raise Full("as many as may wait do so already")
        loop = asyncio.get_running_loop()
        place = self._waiting[visitor] = loop.create_future()
        if dropped is not None:
            _end(self._waiting.pop(dropped), Full("one of a higher priority took its place in the queue"))
        full = Full(f"there was no place within {patience_s:.1f} s")
        timer = loop.call_later(patience_s, self._give_up, visitor, full)
        watching = asyncio.create_task(self._watch(visitor, left)) if left else None
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
            if watching:
                watching.cancel()

    def leave(self, visitor: Visitor) -> None:
        self._let_in(self._admission.leave(visitor))

    def shrink(self, visitor: Visitor, size: int) -> None:
        self._let_in(self._admission.shrink(visitor, size))

    async def _watch(self, visitor: Visitor, left: Left) -> None:
        if await left():
            self._give_up(visitor, ClientGone())

    def _give_up(self, visitor: Visitor, why: Exception) -> None:
        if visitor in self._waiting:
            _end(self._withdraw(visitor), why)

    def _withdraw(self, visitor: Visitor) -> asyncio.Future[None]:
        place = self._waiting.pop(visitor)
        self._let_in(self._admission.withdraw(visitor))
        return place

    def _let_in(self, visitors: list[Visitor]) -> None:
        for visitor in visitors:
            _end(self._waiting.pop(visitor))


class Turn:
    """One request's. Raises Full as it is entered, and ClientGone."""

    __slots__ = ("_left", "_patience_s", "_pool", "_visitor")

    def __init__(self, pool: Pool, visitor: Visitor, patience_s: float, left: Left | None) -> None:
        self._pool, self._visitor, self._patience_s, self._left = pool, visitor, patience_s, left

    def shrink(self, size: int) -> None:
        """The request turned out to be of `size` bytes, no more than it was thought to be."""
        self._pool.shrink(self._visitor, size)

    async def __aenter__(self) -> Turn:
        await self._pool.enter(self._visitor, self._patience_s, self._left)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.leave(self._visitor)


def _end(place: asyncio.Future[None], why: Exception | None = None) -> None:
    """One wait. Whose task was cancelled meanwhile is told nothing."""
    if place.done():
        return
    if why is None:
        place.set_result(None)
    else:
        place.set_exception(why)

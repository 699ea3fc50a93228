"""A number that grows, and those who wait for it to reach theirs."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Watermark:
    """Of one event loop."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._error: Exception | None = None

    def rise(self, value: int) -> None:
        """To `value`, where it is lower."""
        if value > self.value:
            self.put(value)

    def put(self, value: int) -> None:
        """At `value`, which may be lower: who waits for more goes on waiting."""
        self.value = value
        while self._waiting and self._waiting[0][0] <= value:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def reach(self, value: int) -> None:
        """Returns once it is at least `value`; raises what it was ended with, if that comes first."""
        if self.value >= value:
            return
        if self._error is not None:
            raise self._error
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (value, next(self._order), future))
        await future

    def end(self, error: Exception) -> None:
        """It will not grow any more: for all who wait, and for who comes later and asks for more."""
        self._error = error
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting = []

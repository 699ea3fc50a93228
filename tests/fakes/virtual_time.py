"""An event loop whose clock jumps to the next thing that is to happen: an hour of waiting takes no time.

Jobs for threads run in it too, each executor's one after the other, so a run is the same every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumps(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen: something waits for ever")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A job of an executor takes up to `job_seconds`."""

    def __init__(self, random: Random, job_seconds: float = 0.0) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)
        self._random, self._job_seconds = random, job_seconds
        self._free: dict[int, float] = {}

    def time(self) -> float:
        return self._jumps.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = self.create_future()
        end = max(self.time(), self._free.get(id(executor), 0.0)) + 1e-6 + self._random.random() * self._job_seconds
        self._free[id(executor)] = end

        def run() -> None:
            if done.cancelled():
                return  # its process is gone
            try:
                result = func(*args)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(result)

        self.call_at(end, run)
        return done


def in_virtual_time(story: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Random(0))) as runner:
        return runner.run(story)

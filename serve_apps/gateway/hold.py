"""Requests for models that are asleep: held until there is a replica, not longer than the model's table entry says.

Held in memory only: a crash costs the requests that are held.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

from serve_apps.gateway.errors import model_unavailable
from serve_apps.gateway.table import Table
from serve_apps.gateway.table_holder import TableHolder

MOST_HELD = 1000
"""Of all models together. A held request is its body and a task, so that this is memory, not time."""
ASK_SECONDS = 1.0


class Hold:
    """`ask` says that a served name is wanted. It may block: it runs in a thread."""

    def __init__(self, holder: TableHolder, ask: Callable[[str], None]) -> None:
        self._holder = holder
        self._ask = ask
        self._held: Counter[str] = Counter()
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def until_awake(self, name: str, wakes_s: float) -> Table:
        """The first table by which the model called `name` is not asleep.

        Raises ApiError 503 where that does not come within `wakes_s` seconds, and at once where too many are held.
        """
        if self._held.total() >= MOST_HELD:
            raise model_unavailable(name, "it is asleep, and too many requests wait already")
        self._held[name] += 1
        try:
            self.wake(name)
            async with asyncio.timeout(wakes_s):
                while (table := self._holder.table) is None or _asleep(table, name):
                    await self._holder.changed()
            return table
        except TimeoutError:
            raise model_unavailable(name, f"it was asleep and did not wake within {wakes_s:g} s") from None
        finally:
            self._held[name] -= 1

    def wake(self, name: str) -> None:
        """The model called `name` is wanted. Whoever says so does not wait for it."""
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._keep_asking(name))

    async def _keep_asking(self, name: str) -> None:
        """Once, and for as long as somebody waits: the store may be away, and who reads the wish may be, too."""
        while True:
            with contextlib.suppress(Exception):  # the wish is made again at the next turn
                await asyncio.to_thread(self._ask, name)
            await asyncio.sleep(ASK_SECONDS)
            if not self._held[name]:
                break
        del self._asking[name], self._held[name]


def _asleep(table: Table, name: str) -> bool:
    model = table.models.get(name)
    return model is not None and model.asleep

"""Another replica, by whatever carries the calls: what `ReplicaCalls.peer` takes there is told here."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from typing import Any

from actors.vectors.replication.messages import Append, Appended, Copy, Page, Tail


class CalledPeer:
    """An `Other`; `call` calls a method of a replica by its name."""

    def __init__(self, name: str, call: Callable[..., Awaitable[Any]]) -> None:
        self._name, self._call = name, call

    async def append(self, request: Append) -> Appended:
        return await self._ask("append", request)  # type: ignore[no-any-return]

    async def copy(self) -> Copy:
        return await self._ask("copy", None)  # type: ignore[no-any-return]

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        return await self._ask("chunk", (number, name, offset, size))  # type: ignore[no-any-return]

    async def end_copy(self, number: int) -> None:
        await self._ask("end_copy", number)

    async def page(self, part: int, parts: int, after: int | str | None, seq: int) -> Page:
        return await self._ask("page", (part, parts, after, seq))  # type: ignore[no-any-return]

    async def tail(self, after: int, attempt: int) -> Tail:
        return await self._ask("tail", (after, attempt))  # type: ignore[no-any-return]

    async def _ask(self, method: str, body: object) -> Any:
        return await self._call(self._name, "peer", method, pickle.dumps(body, 5))

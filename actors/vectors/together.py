"""Searches of one turn of the event loop that ask for the same of other vectors go to the shards as one.

None waits for company: whatever a turn has asked is sent when it is over. So the more clients there are, the fewer
calls a search costs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, replace

from actors.vectors.answers import Found
from actors.vectors.batching import kind_of, split, together
from actors.vectors.query import Query

MOST_BYTES = 96 << 10
"""Of vectors in one call: an argument from 100 KiB on goes through Ray's object store, which takes longer."""
_ALIKE = math.log(1.1)


@dataclass(frozen=True)
class Asked:
    """The words of `Shards.search`."""

    name: str
    query: Query
    tokens: Mapping[int, int]
    offset: int
    seconds: float

    @property
    def kind(self) -> Hashable:
        """Those of one kind differ in their vectors, and by a tenth in their deadlines at most. Whose tokens ask for
        more than a shard has waits alone.
        """
        tokens, deadline = frozenset(self.tokens.items()), int(math.log(max(self.seconds, 1e-3)) / _ALIKE)
        return self.name, kind_of(self.query), self.offset, tokens, deadline


_Waiting = list[tuple[Asked, asyncio.Future[Found]]]


class Together:
    """`search` answers one of them."""

    def __init__(self, search: Callable[[Asked], Awaitable[Found]]) -> None:
        self._search = search
        self._waiting: dict[Hashable, _Waiting] = {}
        self._sent: set[asyncio.Task[None]] = set()

    async def search(self, asked: Asked) -> Found:
        """Raises what `search` raises."""
        loop, kind = asyncio.get_running_loop(), asked.kind
        answer: asyncio.Future[Found] = loop.create_future()
        waiting = self._waiting.setdefault(kind, [])
        if not waiting:
            loop.call_soon(self._send, kind)
        waiting.append((asked, answer))
        return await answer

    def _send(self, kind: Hashable) -> None:
        for some in _calls(self._waiting.pop(kind)):
            task = asyncio.create_task(self._answer(some))
            self._sent.add(task)
            task.add_done_callback(self._sent.discard)

    async def _answer(self, some: _Waiting) -> None:
        try:
            found = await self._search(_one([asked for asked, _ in some]))
        except Exception as error:
            for _, answer in some:
                if not answer.done():
                    answer.set_exception(error)
            return
        parts = split(found.hits, [len(asked.query.vectors) for asked, _ in some])
        for (_, answer), hits in zip(some, parts, strict=True):
            if not answer.done():
                answer.set_result(replace(found, hits=hits))


def _calls(waiting: _Waiting) -> list[_Waiting]:
    calls: list[_Waiting] = [[]]
    size = 0
    for one in waiting:
        size += one[0].query.vectors.nbytes
        if calls[-1] and size > MOST_BYTES:
            calls.append([])
            size = one[0].query.vectors.nbytes
        calls[-1].append(one)
    return calls


def _one(asked: list[Asked]) -> Asked:
    query = together([one.query for one in asked])
    return replace(asked[0], query=query, seconds=min(one.seconds for one in asked))

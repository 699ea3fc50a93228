"""Searches that come while one runs wait for it, and are then one: a batch costs an index little more than a query.

The first never waits for company. Only searches that ask for the same of other vectors go together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor

from actors.vectors.batching import kind_of, split, together
from actors.vectors.query import Hits, Query

MOST_VECTORS = 256
"""In one search."""


class Coalescer:
    """`search` runs in the threads of `executor`, at most once at a time for each kind of query."""

    def __init__(self, search: Callable[[Query], Hits], executor: Executor) -> None:
        self._search, self._executor = search, executor
        self._waiting: dict[Hashable, deque[tuple[Query, asyncio.Future[Hits]]]] = {}  # by kind, of those that run

    async def search(self, query: Query) -> Hits:
        key = kind_of(query)
        answer: asyncio.Future[Hits] = asyncio.get_running_loop().create_future()
        if (waiting := self._waiting.get(key)) is not None:
            waiting.append((query, answer))
        else:
            self._waiting[key] = deque()
            self._begin(key, [(query, answer)])
        return await answer

    def _begin(self, key: Hashable, batch: list[tuple[Query, asyncio.Future[Hits]]]) -> None:
        query = together([one for one, _ in batch])
        running = asyncio.get_running_loop().run_in_executor(self._executor, self._search, query)
        running.add_done_callback(lambda done: self._end(key, batch, done))

    def _end(self, key: Hashable, batch: list[tuple[Query, asyncio.Future[Hits]]], done: asyncio.Future[Hits]) -> None:
        waiting = self._waiting[key]
        following: list[tuple[Query, asyncio.Future[Hits]]] = []
        size = 0
        while waiting and (not following or size + len(waiting[0][0].vectors) <= MOST_VECTORS):
            query, answer = waiting.popleft()
            if not answer.done():
                following.append((query, answer))
                size += len(query.vectors)
        if following:
            self._begin(key, following)
        else:
            del self._waiting[key]
        error = done.exception()
        if error is not None:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), hits in zip(batch, split(done.result(), [len(one.vectors) for one, _ in batch]), strict=True):
            if not answer.done():
                answer.set_result(hits)

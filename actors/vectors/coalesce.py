"""Searches that come while one runs wait for it, and are then one: a batch costs an index little more than a query.

The first never waits for company. Only searches that ask for the same of other vectors go together.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from actors.vectors.query import Hits, Level, Query

MOST_VECTORS = 256
"""In one search."""


class Coalescer:
    """`search` runs in the threads of `executor`, at most once at a time for each kind of query."""

    def __init__(self, search: Callable[[Query], Hits], executor: Executor) -> None:
        self._search, self._executor = search, executor
        self._waiting: dict[Hashable, deque[tuple[Query, asyncio.Future[Hits]]]] = {}  # by kind, of those that run

    async def search(self, query: Query) -> Hits:
        key = (query.k, query.where, query.threshold, query.columns, query.tuning, query.level is Level.INDEXED)
        answer: asyncio.Future[Hits] = asyncio.get_running_loop().create_future()
        if (waiting := self._waiting.get(key)) is not None:
            waiting.append((query, answer))
        else:
            self._waiting[key] = deque()
            self._begin(key, [(query, answer)])
        return await answer

    def _begin(self, key: Hashable, batch: list[tuple[Query, asyncio.Future[Hits]]]) -> None:
        first = batch[0][0]
        query = first if len(batch) == 1 else replace(first, vectors=np.concatenate([one.vectors for one, _ in batch]))
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


def split(hits: Hits, sizes: list[int]) -> list[Hits]:
    """The hits of so many queries each, one after the other."""
    if len(sizes) == 1:
        return [hits]
    ends = np.concatenate([[0], np.cumsum(hits.counts)]).tolist()
    parts = []
    for start, end in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        low, high = ends[start], ends[end]
        rows = None if hits.rows is None else hits.rows.slice(low, high - low)
        ids = hits.ids.slice(low, high - low)
        parts.append(Hits(hits.counts[start:end], ids, hits.scores[low:high], rows, hits.seq))
    return parts

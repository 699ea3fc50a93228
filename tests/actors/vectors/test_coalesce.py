import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from actors.vectors.coalesce import Coalescer
from actors.vectors.query import Hits, Query


def _query(value: float, n: int = 1, k: int = 2) -> Query:
    return Query(np.full((n, 2), value, np.float32), k)


def test_searches_that_come_while_one_runs_become_one_and_each_gets_its_own() -> None:
    sizes, go = [], threading.Event()

    def search(query: Query) -> Hits:
        n = len(query.vectors)
        sizes.append(n)
        go.wait(5.0)
        values = query.vectors[:, 0].astype(np.int64)
        counts = np.full(n, 2, np.int32)
        return Hits(counts, pa.array(np.repeat(values, 2)), np.zeros(2 * n, np.float32), None, 7)

    async def story() -> list[Hits]:
        coalescer = Coalescer(search, ThreadPoolExecutor(4))
        asks = [asyncio.create_task(coalescer.search(_query(value, n))) for value, n in ((1, 1), (2, 1), (3, 2))]
        other = asyncio.create_task(coalescer.search(_query(9, k=5)))
        await asyncio.sleep(0.02)
        go.set()
        return [await ask for ask in (*asks, other)]

    answers = asyncio.run(story())
    assert [one.ids.to_pylist() for one in answers] == [[1, 1], [2, 2], [3, 3, 3, 3], [9, 9]]
    assert sizes == [1, 1, 3]


def test_a_search_that_fails_fails_for_all_of_it_and_the_next_one_runs() -> None:
    calls = []

    def search(query: Query) -> Hits:
        calls.append(query)
        if len(calls) == 1:
            raise ValueError("no")
        return Hits(np.zeros(1, np.int32), pa.array([], pa.int64()), np.zeros(0, np.float32), None, 1)

    async def story() -> tuple[object, ...]:
        coalescer = Coalescer(search, ThreadPoolExecutor(1))
        first, second = (asyncio.create_task(coalescer.search(_query(1.0))) for _ in range(2))
        return tuple(await asyncio.gather(first, second, return_exceptions=True))

    first, second = asyncio.run(story())
    assert isinstance(first, ValueError)
    assert isinstance(second, Hits)

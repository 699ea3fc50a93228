"""Clients that ask again as soon as they are answered, in threads. Only NumPy, as the peers have it."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import numpy as np

from scripts.bench.vectors_data import Ints

CELLS = ((1, 1), (32, 1), (1, 16))
"""Queries of a call, and clients."""


def timed(
    search: Callable[[Ints], object], queries: int, batch: int, clients: int, seconds: float
) -> tuple[float, float]:
    """Searches a second, and the 99th percentile of a call in ms, of threads that ask again when they are answered."""
    took: list[list[float]] = [[] for _ in range(clients)]
    end = time.perf_counter() + seconds

    def ask(client: int) -> None:
        chance = np.random.default_rng(client)
        while time.perf_counter() < end:
            rows = chance.integers(0, queries, batch)
            began = time.perf_counter()
            search(rows)
            took[client].append(time.perf_counter() - began)

    search(np.arange(min(batch, queries)))  # what takes longer the first time
    began = time.perf_counter()
    end = began + seconds
    threads = [Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [one for some in took for one in some]
    return len(every) * batch / (time.perf_counter() - began), float(np.percentile(every, 99) * 1000)

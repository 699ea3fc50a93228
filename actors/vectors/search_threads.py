"""The threads in which a replica reads: each search has one, and a search of many queries as many as there are cores.

FAISS's own threads are not used: two of them took half as long again as two halves of a batch, each in one thread,
which share out the steps beside the index as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import faiss

from actors.vectors.batching import joined, shares
from actors.vectors.query import Hits, Query

READERS = 4
"""Different kinds of searches, fetches and counts that go on at once."""
CORES = len(os.sched_getaffinity(0))
LEAST = 8
"""Queries that are worth another core."""


class SearchThreads:
    """`readers` run whatever reads; `search` is called in one of them."""

    def __init__(self) -> None:
        one = {"initializer": faiss.omp_set_num_threads, "initargs": (1,)}  # of the calling thread
        self.readers = ThreadPoolExecutor(READERS, "read", **one)
        self._helpers = ThreadPoolExecutor(max(1, CORES - 1), "share", **one)

    def search(self, search: Callable[[Query], Hits], query: Query) -> Hits:
        mine, *others = shares(query, CORES, LEAST)
        theirs = [self._helpers.submit(search, one) for one in others]
        return joined([search(mine), *(one.result() for one in theirs)])

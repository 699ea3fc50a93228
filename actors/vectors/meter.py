"""What a replica counts of its work, and how good its answers are: the figures of its report.

Called from several threads. Nothing here waits: recall is measured in a thread of its own accord, on queries that were
asked.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean

from actors.vectors.query import Hits, Query, Tuning
from control.traffic import bucket

SAMPLE_SECONDS = 10.0
"""How often a query is measured again, exactly, at most: that reads every row."""
SAMPLES = 50
RECALL_AT = 10


class Meter:
    """`search` answers a query from the shard's data."""

    def __init__(self, search: Callable[[Query], Hits]) -> None:
        self._search = search
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._times: dict[str, Counter[int]] = {name: Counter() for name in ("search_ms", "scan_ms", "write_ms")}
        self._recalls: deque[float] = deque(maxlen=SAMPLES)
        self._sampled = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Of what ends well."""
        began = time.perf_counter()
        yield
        took = bucket(1000.0 * (time.perf_counter() - began))
        with self._lock:
            self._times[name][took] += 1

    def count(self, name: str, amount: int) -> None:
        with self._lock:
            self._counts[name] += amount

    def wants_sample(self, now: float) -> bool:
        """Whether a query should be measured now; not again for a while then."""
        with self._lock:
            due = now - self._sampled >= SAMPLE_SECONDS
            if due:
                self._sampled = now
            return due

    def sample(self, query: Query, hits: Hits) -> None:
        """Compares the first query's nearest with those that an exact search finds. Reads every row."""
        first = replace(query, vectors=query.vectors[:1], k=min(query.k, RECALL_AT), columns=())
        exact = self._search(replace(first, tuning=Tuning(exact=True)))
        wanted = set(exact.ids.to_pylist())
        if wanted:
            found = set(hits.ids.slice(0, min(first.k, int(hits.counts[0]))).to_pylist())
            with self._lock:
                self._recalls.append(len(wanted & found) / len(wanted))

    @property
    def recall(self) -> float:
        """The mean of the last samples; -1 while there is none."""
        with self._lock:
            return fmean(self._recalls) if self._recalls else -1.0

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def times(self) -> dict[str, dict[int, int]]:
        """By name the histogram, in milliseconds (`control.traffic`)."""
        with self._lock:
            return {name: dict(found) for name, found in self._times.items()}

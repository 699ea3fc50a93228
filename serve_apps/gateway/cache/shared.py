"""The plane's cache of answers: one actor, which the gateway's replicas ask. It never decides who may be cached.

Kept in memory only: a crash costs the answers, Ray starts the actor again, and until then every question is a miss.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import faiss

from actors.embedder import Embedder
from serve_apps.gateway.cache.entries import Entries, Entry
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.guard import same_question
from serve_apps.gateway.cache.scope import Ask
from serve_apps.gateway.cache.wordnet import WordNet

MOST_BYTES = 256 << 20
SWEEP_SECONDS = 30.0


class SemanticCache:
    """Calls may come from several threads: only looking at the entries is one at a time, not the model."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._entries = Entries(most_bytes)
        self._embedder = Embedder()
        self._words = WordNet().word
        self._lock = threading.Lock()
        self._swept = time.time()
        faiss.omp_set_num_threads(1)  # as the model: more would be taken from those who answer
        first = self._embedder.embed(["What takes longer the first time?"])[0]
        scratch = Entries(most_bytes)
        scratch.put(Entry("", b"", b"", "", b"", 0, 0.0, 1.0), first, 1)
        list(scratch.nearest(b"", first, 0.0, 0.0))
        same_question("What takes longer the first time?", "What takes long the first time?", 1.0, self._words)

    def find(self, ask: Ask) -> Found | None:
        with self._lock:
            now = time.time()
            if (entry := self._entries.get(ask.space, ask.key, now)) is not None:
                return Found(entry.body, "exact", now - entry.kept_at, entry.until - now, entry.cost)
        if not ask.text:
            return None
        vector = self._embedder.embed([ask.text])[0]
        with self._lock:
            near = list(self._entries.nearest(ask.near, vector, ask.policy.threshold, now))
            for entry, similarity in near:
                if same_question(ask.text, entry.text, similarity, self._words):
                    self._entries.used(entry)
                    age_s, left_s = now - entry.kept_at, entry.until - now
                    return Found(entry.body, "semantic", age_s, left_s, entry.cost, similarity)
        return None

    def keep(self, ask: Ask, body: bytes, cost: int) -> None:
        """`cost` in billionths of a dollar."""
        vector = self._embedder.embed([ask.text])[0] if ask.text else None
        with self._lock:
            now = time.time()
            entry = Entry(ask.space, ask.key, ask.near, ask.text, body, cost, now, now + ask.policy.ttl_s)
            self._entries.put(entry, vector, ask.policy.max_entries)
            if now - self._swept > SWEEP_SECONDS:
                self._entries.drop_old(now)
                self._swept = now

    def stats(self) -> Mapping[str, Any]:
        with self._lock:
            return {"entries": len(self._entries), "bytes": self._entries.size}

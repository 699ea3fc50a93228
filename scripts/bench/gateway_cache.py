"""How fast the gateway's cache answers: the same question again, and one that means the same.

An answer counts as a hit where the upstream was not asked for it, whatever its headers say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from scripts.bench.gateway_answer import WHOLE
from scripts.bench.gateway_load import milliseconds
from scripts.bench.serving_load import Route

SUBJECTS = (
    *("the moon", "photosynthesis", "a black hole", "the French Revolution", "inflation", "a hash table", "gravity"),
    *("the water cycle", "a neural network", "plate tectonics", "DNA", "an eclipse", "supply and demand", "yeast"),
    *("a transistor", "the Renaissance", "vaccination", "a glacier", "recursion", "the ozone layer"),
)
FIRST_WORDING = "Can you explain {} to me?"
OTHER_WORDINGS = ("Could you explain {} to me?", "Please explain {} to me.", "Explain {} to me, please.")
REPEATS = 5
"""How often each question is asked again in the same words."""


def measure(route: Route, model: str, asked: Callable[[], int]) -> dict[str, Any]:
    """`asked` says how many requests the upstream has had. None where nothing was answered from the cache."""
    with httpx.Client(headers={"Authorization": f"Bearer {route.key}"}, trust_env=False) as client:

        def took(words: str) -> float | None:
            """Seconds of an answer that did not come from upstream. Raises RuntimeError for what is no answer."""
            before, began = asked(), time.perf_counter()
            messages = [{"role": "user", "content": words}]
            reply = client.post(route.url, json={"model": model, "messages": messages, "temperature": 0})
            seconds = time.perf_counter() - began
            if reply.status_code != 200 or reply.json()["choices"][0]["message"]["content"].encode() not in WHOLE:
                raise RuntimeError(f"{route.url}: {reply.status_code} {reply.text[:200]}")
            return seconds if asked() == before else None

        first = [FIRST_WORDING.format(subject) for subject in SUBJECTS]
        for words in first:
            took(words)
        exact = [took(words) for _ in range(REPEATS) for words in first]
        other = [took(words.format(subject)) for words in OTHER_WORDINGS for subject in SUBJECTS]
    return {**_told("cache_exact", exact), **_told("cache_semantic", other)}


def _told(name: str, took: Sequence[float | None]) -> dict[str, Any]:
    hits = [seconds for seconds in took if seconds is not None]
    return {
        f"{name}_ms_p50": milliseconds(hits, 50) if hits else None,
        f"{name}_hits": f"{len(hits)} of {len(took)}",
    }

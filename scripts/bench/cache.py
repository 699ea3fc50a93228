"""The cache of answers, through its actor on a real Ray: how long a hit takes, and what is hit.

For each pair of questions a tenant of its own keeps an answer to the one and asks the other. Milliseconds are of one
caller after another: an exact hit at hand in the gateway's replica, one from the plane's cache, and one by meaning.

Usage: python -m scripts.bench.cache [--json] [--seed S]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Any, get_args

import ray
from rich.console import Console
from rich.table import Table

from control.data_plane import find_answer, keep_answer
from control.gateway.decide import CACHE_THREADS
from control.kernel.ids import CACHE_ACTOR, NAMESPACE
from control.specs.gateway import Cache as CacheSpec
from scripts.bench.cache_questions import Half, Pair, near_duplicates, paraphrases
from serve_apps.gateway.body import CHAT, parse_request
from serve_apps.gateway.cache.cache import Cache
from serve_apps.gateway.cache.policy import CachePolicy
from serve_apps.gateway.cache.scope import Ask, ask_of
from serve_apps.gateway.cache.shared import SemanticCache

PARAPHRASES, NEAR_DUPLICATES = 200, 500
WARM_UP = 20
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "An answer."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
}  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--seed", type=int, default=7)
    chosen = options.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False, namespace=NAMESPACE)
    actor = ray.remote(SemanticCache).options(
        name=CACHE_ACTOR, namespace=NAMESPACE, num_cpus=0, max_concurrency=CACHE_THREADS
    )
    try:
        held = actor.remote()  # it ends with its last handle
        ray.get(held.stats.remote())
        asyncio.run(_ask(paraphrases("seen", 1, 0), "first"))
        measured = asyncio.run(_measure(chosen.seed))
    finally:
        ray.shutdown()
    if chosen.json:
        print(json.dumps(measured))
        return
    table = Table("figure", "value")
    for name, value in measured.items():
        table.add_row(name, str(value))
    Console().print(table)


async def _measure(seed: int) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    semantic_ms: list[float] = []
    for half in get_args(Half):
        named = half.replace(" ", "_")
        pairs = paraphrases(half, PARAPHRASES, seed)
        found, took = await _ask(pairs, f"wording {half}")
        semantic_ms += took
        measured[f"paraphrase_hits_{named}"] = f"{100 * sum(found.values()) / len(pairs):.1f} %"
        wrong, _ = await _ask(near_duplicates(half, NEAR_DUPLICATES, seed), f"near {half}")
        measured[f"false_hits_{named}"] = f"{sum(wrong.values())} of {NEAR_DUPLICATES}"
    return {
        **measured,
        "cache_hand_ms_p50": await _exact_ms(Cache(find_answer, keep_answer)),
        "cache_exact_ms_p50": await _exact_ms(None),
        "cache_semantic_ms_p50": round(statistics.median(semantic_ms), 3),
        "cache_semantic_ms_p99": round(statistics.quantiles(semantic_ms, n=100)[98], 3),
    }


async def _ask(pairs: Sequence[Pair], tenants: str) -> tuple[Counter[str], list[float]]:
    """How many were hit by what was different, and the milliseconds of each hit."""
    cache, found, took = Cache(find_answer, keep_answer), Counter[str](), []
    for index, pair in enumerate(pairs):
        cache.keep(_ask_for(pair.one, f"{tenants} {index}"), ANSWER, 1)
        await cache.kept()
        other = _ask_for(pair.other, f"{tenants} {index}")
        began = perf_counter()
        hit = await cache.find(other)
        if hit is not None and pair.one != pair.other:
            took.append(1000 * (perf_counter() - began))
            found[pair.what] += 1
    if cache.away:
        raise SystemExit(f"{cache.away} questions found the plane's cache too slow: nothing was measured")
    return found, took[WARM_UP:]


async def _exact_ms(at_hand: Cache | None) -> float:
    """Of a replica that has the answer `at_hand`, or of one that asks the plane's cache each time."""
    ask, took = _ask_for("What does a hit cost?", "exact"), []
    keeper = at_hand or Cache(find_answer, keep_answer)
    keeper.keep(ask, ANSWER, 1)
    await keeper.kept()
    for _ in range(500):
        cache = at_hand or Cache(find_answer, keep_answer)
        began = perf_counter()
        hit = await cache.find(ask)
        took.append(1000 * (perf_counter() - began))
        if hit is None or hit.kind != "exact":
            raise SystemExit("an answer that was kept was not found")
    return round(statistics.median(took[WARM_UP:]), 3)


def _ask_for(text: str, tenant: str) -> Ask:
    usual = CacheSpec()
    policy = CachePolicy(usual.threshold, usual.ttl, usual.max_entries, usual.semantic)
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    ask = ask_of(parse_request(CHAT, json.dumps(body).encode()), (), "bench/route", tenant, policy)
    if ask is None:
        raise SystemExit("the bench's own questions may not be cached")
    return ask


if __name__ == "__main__":
    main()

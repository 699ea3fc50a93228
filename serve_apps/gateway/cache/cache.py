"""The answers that a gateway replica may give again: those at hand, then those of the plane's cache.

Kept in memory: the last answers, for seconds. The plane's cache (`shared.py`) may be slow, dead or not
there yet: then there is no answer, and never an error. A crash costs what was at hand.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic

from serve_apps.gateway.cache.collect import MOST, keepable
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.scope import Ask
from serve_apps.gateway.dialects.reading import Json

WAIT_SECONDS = 0.15
"""An answer that takes longer to find is not worth the wait."""
MOST_ASKING = 8
"""So many ask the plane's cache at once: a ninth would wait for longer than that."""
AWAY_SECONDS = 1.0
"""For so long it is left alone after it failed."""
HAND_SECONDS = 10.0
"""For so long an answer stays at hand; one that another replica refreshed meanwhile is seen after that."""
HAND_BYTES = 32 << 20

Find = Callable[[Ask, float], Found | None]
"""Asks the plane's cache, for so many seconds at most. It blocks and may fail: it runs in a thread."""
Keep = Callable[[Ask, bytes, int], None]
"""Hands an answer and what it cost to the plane's cache. It may block and may fail: it runs in a thread."""


class Cache:
    """Before a backend is chosen `find`, and where that has nothing, after a whole answer `keep`. Neither raises.
    Without the plane's cache, as it was dead, slow or asked by too many, `away` requests went on.
    """

    def __init__(self, find: Find, keep: Keep) -> None:
        self.away = 0
        self._find = find
        self._keep = keep
        self._hand: OrderedDict[bytes, tuple[Found, float]] = OrderedDict()
        self._hand_bytes = 0
        self._asking = 0
        self._threads = ThreadPoolExecutor(2 * MOST_ASKING, "cache")  # none that anything else waits for
        self._away_until = 0.0
        self._keeping: set[asyncio.Task[None]] = set()

    async def find(self, ask: Ask) -> Found | None:
        if not ask.looks:
            return None
        return self._at_hand(ask) or await self._from_plane(ask)

    def keep(self, ask: Ask, completion: Json, cost: int) -> None:
        """Of a chat, or for `/v1/completions` a completion, whole as the backend gave it; `cost` in billionths of a
        dollar. What may not be kept is not.
        """
        if not keepable(completion) or len(body := json.dumps(completion).encode()) > MOST:
            return
        self._take(ask, Found(body, "exact", 0.0, ask.policy.ttl_s, cost))
        if monotonic() >= self._away_until and len(self._keeping) < MOST_ASKING:
            task = asyncio.create_task(self._hand_on(ask, body, cost))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def kept(self) -> None:
        """Returns when the plane's cache has what it was given so far."""
        await asyncio.gather(*self._keeping)

    def _at_hand(self, ask: Ask) -> Found | None:
        held = self._hand.get(ask.key)
        if held is None:
            return None
        found, taken_at = held
        passed = monotonic() - taken_at
        if passed >= min(found.left_s, HAND_SECONDS):
            self._drop(ask.key)
            return None
        self._hand.move_to_end(ask.key)
        return replace(found, age_s=found.age_s + passed, left_s=found.left_s - passed)

    async def _from_plane(self, ask: Ask) -> Found | None:
        if self._asking >= MOST_ASKING or monotonic() < self._away_until:
            self.away += 1
            return None
        self._asking += 1
        asking = asyncio.get_running_loop().run_in_executor(self._threads, self._find, ask, WAIT_SECONDS)
        asking.add_done_callback(self._asked)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                found = await asyncio.shield(asking)  # the thread cannot be stopped: it is counted until it is done
        except Exception:  # whatever the plane's cache has, a request goes on without it
            self._away_until = monotonic() + AWAY_SECONDS
            self.away += 1
            return None
        if found is not None and found.kind == "exact":
            self._take(ask, found)
        return found

    def _asked(self, asking: asyncio.Future[Found | None]) -> None:
        self._asking -= 1
        if not asking.cancelled():
            asking.exception()  # looked at, whoever waits for it still

    async def _hand_on(self, ask: Ask, body: bytes, cost: int) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._keep, ask, body, cost)
        except Exception:  # as above: the answer is at hand here, and asked for again elsewhere
            self._away_until = monotonic() + AWAY_SECONDS

    def _take(self, ask: Ask, found: Found) -> None:
        self._drop(ask.key)
        self._hand[ask.key] = found, monotonic()
        self._hand_bytes += len(found.body)
        while self._hand_bytes > HAND_BYTES:
            self._drop(next(iter(self._hand)))

    def _drop(self, key: bytes) -> None:
        if (held := self._hand.pop(key, None)) is not None:
            self._hand_bytes -= len(held[0].body)

"""A gateway replica's cache: what is at hand, what the plane has, and nothing that can fail a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from serve_apps.gateway.cache import cache as module
from serve_apps.gateway.cache.cache import Cache
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.scope import Ask
from tests.serve_apps.gateway.cache.asks import answer, ask

ASK = ask()


class Plane:
    """Stands for the plane's cache: it holds what was kept by key."""

    def __init__(self) -> None:
        self.held: dict[bytes, Found] = {}
        self.asked = 0
        self.fails: Callable[[], None] = lambda: None

    def find(self, ask: Ask, seconds: float) -> Found | None:
        self.asked += 1
        self.fails()
        return self.held.get(ask.key)

    def keep(self, ask: Ask, body: bytes, cost: int) -> None:
        self.fails()
        self.held[ask.key] = Found(body, "exact", 0.0, ask.policy.ttl_s, cost)


def test_what_one_replica_keeps_another_finds_and_then_has_at_hand() -> None:
    async def story() -> None:
        plane = Plane()
        one, other = Cache(plane.find, plane.keep), Cache(plane.find, plane.keep)
        assert await one.find(ASK) is None
        one.keep(ASK, answer(), 70)
        await one.kept()
        for _ in range(2):
            assert await one.find(ASK) is not None
            assert await other.find(ASK) is not None
        assert plane.asked == 2

    asyncio.run(story())


def test_an_answer_by_meaning_is_not_at_hand_for_the_words_it_was_found_by() -> None:
    async def story() -> None:
        plane = Plane()
        plane.held[ASK.key] = Found(b"{}", "semantic", 1.0, 9.0, 1, 0.9)
        cache = Cache(plane.find, plane.keep)
        for _ in range(2):
            assert await cache.find(ASK)
        assert plane.asked == 2

    asyncio.run(story())


def test_a_plane_that_fails_is_a_miss_and_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        plane, clock = Plane(), [100.0]
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])

        def fail() -> None:
            raise ConnectionError("gone")

        plane.fails = fail
        cache = Cache(plane.find, plane.keep)
        for _ in range(5):
            assert await cache.find(ASK) is None
        assert plane.asked == 1
        plane.fails = lambda: None
        clock[0] += module.AWAY_SECONDS
        assert await cache.find(ASK) is None
        assert plane.asked == 2

    asyncio.run(story())


def test_no_more_wait_for_the_plane_than_it_can_answer_in_time() -> None:
    async def story() -> None:
        plane = Plane()
        held = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang() -> None:
            asyncio.run_coroutine_threadsafe(held.wait(), loop).result()

        plane.fails = hang
        cache = Cache(plane.find, plane.keep)
        asking = [asyncio.create_task(cache.find(ask(f"Who is {n}?"))) for n in range(module.MOST_ASKING)]
        await asyncio.sleep(0)
        assert await cache.find(ASK) is None
        held.set()
        assert await asyncio.gather(*asking) == [None] * module.MOST_ASKING
        assert (plane.asked, cache.away) == (module.MOST_ASKING, 1)

    asyncio.run(story())


def test_what_is_at_hand_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        plane, clock = Plane(), [100.0]
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
        cache, short = Cache(plane.find, plane.keep), ask(ttl_s=5.0)
        cache.keep(short, answer(), 0)
        await cache.kept()
        plane.held.clear()
        clock[0] += 4.0
        found = await cache.find(short)
        assert found is not None
        assert (found.age_s, found.left_s) == (4.0, 1.0)
        clock[0] += 1.0
        assert await cache.find(short) is None

    asyncio.run(story())


def test_who_wants_a_new_answer_gets_none_that_is_kept() -> None:
    async def story() -> None:
        plane = Plane()
        cache = Cache(plane.find, plane.keep)
        cache.keep(ASK, answer(), 0)
        await cache.kept()
        assert await cache.find(replace(ASK, looks=False)) is None

    asyncio.run(story())


def test_what_may_not_be_kept_is_not() -> None:
    async def story() -> None:
        plane = Plane()
        cache = Cache(plane.find, plane.keep)
        cache.keep(ASK, answer("x", "tool_calls", tool_calls=[{"id": "1"}]), 0)
        await cache.kept()
        assert plane.held == {}
        assert await cache.find(ASK) is None

    asyncio.run(story())

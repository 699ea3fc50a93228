"""The page of metrics: for who has a key, and never more than the store can bear."""

import asyncio
import threading
from time import monotonic
from typing import Any

import aiohttp
import pytest

from serve_apps.gateway import scrape
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.scrape import Scrape
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import answer_json, world


def test_the_metrics_are_for_who_has_a_key() -> None:
    async def story() -> None:
        async with world(answer_json) as it, aiohttp.ClientSession(it.client._base_url) as stranger:
            async with stranger.get("/metrics") as response:
                await refusal(response, 401, "invalid_api_key")
            assert it.published.rendered == 0
            async with it.client.get("/metrics") as response:
                assert response.status == 200
                assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
                assert await response.read() == b"biplane_up 1\n"
            async with it.client.post("/metrics") as response:
                await refusal(response, 405, "method_not_allowed")

    run(story())


@pytest.mark.parametrize(
    "spec", [{"models": ["tiny"]}, {"models": ["t*"]}, {"routes": ["any"]}, {"limits": {"requests_per_minute": 9}}]
)
def test_the_metrics_of_all_are_not_for_a_key_that_has_scopes_or_limits(spec: dict[str, Any]) -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.published.put_key("some", "bp-some", **spec)
            await it.read_again()
            async with it.client.get("/metrics", headers={"authorization": "Bearer bp-some"}) as response:
                assert response.status == 403
                assert (await response.json())["error"]["code"] == "metrics_not_allowed"
            assert it.published.rendered == 0

    run(story())


def test_a_second_scrape_within_a_second_gets_the_page_of_the_first() -> None:
    async def story() -> None:
        async with world(answer_json) as it:

            async def ask() -> bytes:
                async with it.client.get("/metrics") as response:
                    return await response.read()

            assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {b"biplane_up 1\n"}
            assert await ask() == b"biplane_up 1\n"

    run(story())


def test_a_store_that_is_away_is_said_and_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "KEPT_SECONDS", 0.1)

    async def story() -> None:
        async with world(answer_json) as it:
            it.published.broken = True
            for _ in range(3):
                async with it.client.get("/metrics") as response:
                    await refusal(response, 503, "metrics_unavailable")
                    assert response.headers["retry-after"]
            assert it.published.rendered == 1
            it.published.broken = False
            await asyncio.sleep(0.1)
            async with it.client.get("/metrics") as response:
                assert response.status == 200

    run(story())


def test_a_page_that_takes_long_is_made_once_at_a_time_though_its_first_reader_leaves() -> None:
    made, going_on = 0, threading.Event()

    def render() -> bytes:
        nonlocal made
        made += 1
        going_on.wait(5)
        return b"page"

    async def story() -> None:
        page = Scrape(render)
        asking = [asyncio.create_task(page.page()) for _ in range(5)]
        await asyncio.sleep(0.05)
        asking[0].cancel()
        await asyncio.sleep(0)
        asking.append(asyncio.create_task(page.page()))
        await asyncio.sleep(0.05)
        going_on.set()
        assert await asyncio.gather(*asking[1:]) == [b"page"] * 5
        assert made == 1

    run(story())


def test_a_page_is_older_than_a_second_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pages = [monotonic()], iter(range(9))
    monkeypatch.setattr(scrape, "monotonic", lambda: now[0])

    def render() -> bytes:
        if (page := next(pages)) == 2:
            raise OSError("away")
        return b"%d" % page

    async def story() -> None:
        page = Scrape(render)
        for later, expected in ((0.0, b"0"), (0.9, b"0"), (0.2, b"1")):
            now[0] += later
            assert await page.page() == expected
        now[0] += 1
        for _ in range(2):
            with pytest.raises(ApiError) as refused:
                await page.page()
            assert refused.value.status == 503
        now[0] += 1
        assert await page.page() == b"3"

    run(story())

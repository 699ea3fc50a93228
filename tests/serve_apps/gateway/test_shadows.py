"""Copies for versions on trial: they get the same requests, and nobody notices."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from serve_apps.gateway.shadow import IN_FLIGHT
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    Engine,
    Handler,
    World,
    answer_events,
    answer_json,
    arm,
    chat_body,
    engine_of,
    free_port,
    world,
)


async def publish(it: World, shadow: str, share: float = 1.0) -> None:
    mirrored = {"version": 9, "url": shadow, "app": "llm:9", "share": share}
    await it.publish_model(arms=[arm(it.engine.url, app="llm:3")], shadows=[mirrored])


async def ask(it: World, **changes: Any) -> bytes:
    async with it.client.post(CHAT, json=chat_body(**changes), headers={"x-biplane-shadow": "mine"}) as response:
        assert response.status == 200
        assert response.headers["x-biplane-version"] == "3"
        return await response.read()


async def reached(engine: Engine, count: int) -> None:
    while len(engine.bodies) < count:
        await asyncio.sleep(0.01)


def test_a_shadow_gets_the_same_request_marked_and_its_figures_are_its_own() -> None:
    async def story() -> None:
        async with world(answer_events) as it, engine_of(answer_events) as shadow:
            await publish(it, shadow.url)
            assert (await ask(it, stream=True)).endswith(b"[DONE]\n\n")
            await reached(shadow, 1)
            assert shadow.bodies == it.engine.bodies
            assert shadow.headers[0]["x-biplane-shadow"] == "1"
            assert "x-biplane-shadow" not in it.engine.headers[0]
            for app in ("llm:3", "llm:9"):
                found = await it.figures_of(app, 1)
                assert (found.requests, found.errors) == (1, 0)
                assert sum(found.ttft_ms.values()) == 1

    run(story())


def test_a_shadow_gets_its_share() -> None:
    async def story() -> None:
        async with world(answer_json) as it, engine_of(answer_json) as shadow:
            await publish(it, shadow.url, share=0.25)
            for _ in range(20):
                await ask(it)
            assert (await it.figures_of("llm:9", 5)).requests == len(shadow.bodies) == 5

    run(story())


async def broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize("handler", [broken, silent, None])
def test_whatever_a_shadow_does_the_answers_are_as_without_it(handler: Handler | None) -> None:
    async def story() -> None:
        async with world(answer_json) as it, engine_of(handler or silent) as shadow:
            await publish(it, shadow.url if handler else f"http://127.0.0.1:{free_port()}")
            for _ in range(10):
                answer = await asyncio.wait_for(ask(it), 1)
                assert json.loads(answer)["usage"]["total_tokens"] == 4
            assert len(it.engine.bodies) == 10
            assert (await it.figures_of("llm:3", 10)).errors == 0
            if handler is not silent:
                assert (await it.figures_of("llm:9", 10)).errors == 10

    run(story())


def test_under_pressure_copies_are_dropped_and_counted() -> None:
    async def story() -> None:
        async with world(answer_json) as it, engine_of(silent) as shadow:
            await publish(it, shadow.url)
            for _ in range(IN_FLIGHT + 8):
                await ask(it)
            await reached(shadow, IN_FLIGHT)
            while it.published.dropped < 8:
                await asyncio.sleep(0.01)
            assert (len(shadow.bodies), it.published.dropped) == (IN_FLIGHT, 8)

    run(story())


def test_the_answer_is_there_before_the_copy_is_sent() -> None:
    async def story() -> None:
        asked = asyncio.Event()

        async def waits(request: web.Request) -> web.StreamResponse:
            await asked.wait()
            return await answer_json(request)

        async with world(waits) as it, engine_of(answer_json) as shadow:
            await publish(it, shadow.url)
            asking = asyncio.create_task(ask(it))
            await reached(it.engine, 1)
            await asyncio.sleep(0.05)
            assert shadow.bodies == []
            asked.set()
            await asking
            await reached(shadow, 1)

    run(story())

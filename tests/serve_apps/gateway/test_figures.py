"""What is counted of an application's traffic, how it is written, and when it is forgotten."""

import asyncio
from time import perf_counter

import pytest

from control.traffic import Traffic, parse, quantile
from serve_apps.gateway.figures import FORGET_SECONDS, Figures, Outcome
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    answer_events,
    answer_json,
    arm,
    chat_body,
    world,
)


def figures_of(figures: Figures) -> dict[str, Traffic]:
    return parse(figures.body())


def test_a_stream_has_its_times_and_a_whole_answer_its_latency() -> None:
    async def story() -> None:
        async with world(answer_events) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                await response.read()
            found = await it.figures_of("llm:3", 1)
            assert [sum(h.values()) for h in (found.ttft_ms, found.latency_ms)] == [1, 1]
            assert 1 <= sum(found.itl_ms.values()) <= 3, "of four chunks, some of which may have come together"
            between, whole = quantile(found.itl_ms, 0.5), quantile(found.latency_ms, 1.0)
            assert between is not None
            assert whole is not None
            assert 10 < between < whole < 5000
        async with world(answer_json) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            for _ in range(3):
                async with it.client.post(CHAT, json=chat_body()) as response:
                    await response.read()
            found = await it.figures_of("llm:3", 3)
            assert (found.requests, found.errors, found.ttft_ms, found.itl_ms) == (3, 0, {}, {})
            assert sum(found.latency_ms.values()) == 3

    run(story())


def test_a_client_that_leaves_is_a_request_and_no_error() -> None:
    async def story() -> None:
        async with world(answer_events) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                await response.content.readuntil(b"\n\n")
                response.close()
            found = await it.figures_of("llm:3", 1)
            assert (found.requests, found.errors, found.latency_ms) == (1, 0, {})

    run(story())


def test_a_store_that_is_away_costs_nothing_but_the_figures() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            it.published.broken = True
            for _ in range(5):
                async with it.client.post(CHAT, json=chat_body()) as response:
                    assert response.status == 200
                await asyncio.sleep(0.03)
            assert it.published.figures.get("llm:3", Traffic()).requests == 0
            it.published.broken = False
            assert (await it.figures_of("llm:3", 5)).requests == 5

    run(story())


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, EMBEDDINGS])
def test_every_surface_reaches_the_engine_at_its_own_path_with_the_version_told(path: str) -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[arm(it.engine.url, name="warm", app="llm:3")])
            body = chat_body(prompt="hi", input=["hi"], dimensions=4)
            async with it.client.post(path, json=body) as response:
                assert response.status == 200
                assert response.headers["x-biplane-version"] == "3"
                assert response.headers["x-biplane-arm"] == "warm"
            assert it.engine.paths == ["/llm/tiny/3" + path]
            async with it.client.get(path) as response:
                assert response.status == 405
            assert (await it.figures_of("llm:3", 1)).requests == 1

    run(story())


def test_without_a_name_the_arm_is_not_told_and_prompts_need_no_messages() -> None:
    async def story() -> None:
        async with (
            world(answer_json) as it,
            it.client.post(COMPLETIONS, json={"model": "tiny", "prompt": "hi"}) as response,
        ):
            assert response.status == 200
            assert "x-biplane-arm" not in response.headers

    run(story())


def test_applications_are_forgotten_ten_minutes_after_the_table_named_them_last() -> None:
    figures, now = Figures(), perf_counter()
    for app in ("stays", "goes"):
        figures.meter(app).end(Outcome.WHOLE)
    for minute in range(9):
        figures.forget(("stays", "new"), now + 60 * minute)
        assert set(figures_of(figures)) == {"stays", "goes"}
    figures.forget(("stays",), now + FORGET_SECONDS + 1)
    assert set(figures_of(figures)) == {"stays"}
    figures.meter("goes").end(Outcome.FAILED)
    assert figures_of(figures)["goes"] == Traffic(1, 1)

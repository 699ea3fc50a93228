"""Models that are asleep: the first requests wait for them, boundedly, and wake them."""

import asyncio
import json
from time import perf_counter

import pytest

from control.engine_report import EngineReport
from serve_apps.gateway import hold
from tests.serve_apps.gateway.test_backends import ask as ask_route
from tests.serve_apps.gateway.test_backends import backend, provider, publish
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import CHAT, World, answer_events, answer_json, arm_of, chat_body, world


async def ask(it: World) -> int:
    async with it.client.post(CHAT, json=chat_body()) as response:
        await response.read()
        return response.status


async def held(it: World, count: int) -> None:
    while it.gateway._delivery._hold._held.total() != count:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("arms", [[], [arm_of()]])
def test_requests_for_a_model_that_sleeps_wait_until_it_has_a_replica_and_ask_for_it_once(arms: list[object]) -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=arms, wakes_s=10)
            asking = [asyncio.create_task(ask(it)) for _ in range(20)]
            await held(it, 20)
            while not it.published.woken:
                await asyncio.sleep(0.005)
            assert it.published.woken == ["tiny"]
            await it.publish_model(arms=arms, wakes_s=11)  # another table, and it sleeps on
            await it.read_again()
            assert not any(one.done() for one in asking)
            it.published.engines["a"] = EngineReport(it.engine.url)
            woken = perf_counter()
            await it.publish_model(arms=[arm_of(("a", "http://127.0.0.1:1"))], wakes_s=10)
            assert set(await asyncio.gather(*asking)) == {200}
            assert perf_counter() - woken < 2, "and not at the end of what they may wait"
            await held(it, 0)

    run(story())


def test_a_model_that_does_not_wake_in_time_is_unavailable_and_so_is_one_that_is_not_woken() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[], wakes_s=0.2)
            began = perf_counter()
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert "0.2 s" in (await refusal(response, 503, "model_unavailable"))["message"]
                assert int(response.headers["retry-after"]) > 0
            assert 0.2 <= perf_counter() - began < 5
            while not it.published.woken:  # the wish is made in a thread, which may be slow
                await asyncio.sleep(0.005)
            await it.publish_model(arms=[arm_of()])
            woken = len(it.published.woken)
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
            assert len(it.published.woken) == woken
            await held(it, 0)

    run(story())


def test_a_model_that_goes_while_requests_wait_for_it_is_not_found() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[], wakes_s=10)
            asking = asyncio.create_task(ask(it))
            await held(it, 1)
            it.publish(version=9, models={})
            assert await asking == 404

    run(story())


def test_a_client_that_leaves_is_held_no_longer() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[], wakes_s=10)
            asking = [asyncio.create_task(ask(it)) for _ in range(5)]
            await held(it, 5)
            for one in asking[:4]:
                one.cancel()
            await held(it, 1)
            await it.publish_model()
            assert await asking[4] == 200

    run(story())


def test_too_many_that_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "MOST_HELD", 3)

    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[], wakes_s=10)
            asking = [asyncio.create_task(ask(it)) for _ in range(3)]
            await held(it, 3)
            began = perf_counter()
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert "too many" in (await refusal(response, 503, "model_unavailable"))["message"]
                assert int(response.headers["retry-after"]) > 0
            assert perf_counter() - began < 5
            await it.publish_model()
            assert set(await asyncio.gather(*asking)) == {200}

    run(story())


def test_a_wish_is_made_again_while_somebody_waits_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "ASK_SECONDS", 0.05)

    async def story() -> None:
        async with world(answer_json) as it:
            await it.publish_model(arms=[], wakes_s=10)
            it.published.broken = True
            asking = asyncio.create_task(ask(it))
            while len(it.published.woken) < 3:
                await asyncio.sleep(0.01)
            it.published.broken = False
            await it.publish_model()
            assert await asking == 200
            await asyncio.sleep(0.1)
            woken = len(it.published.woken)
            await asyncio.sleep(0.15)
            assert len(it.published.woken) == woken
            assert not it.gateway._delivery._hold._asking
            assert not it.gateway._delivery._hold._held

    run(story())


def test_the_time_that_a_request_was_held_is_not_the_applications() -> None:
    async def story() -> None:
        async with world(answer_events) as it:
            await it.publish_model(arms=[], wakes_s=10)

            async def stream() -> None:
                async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                    assert (await response.read()).endswith(b"[DONE]\n\n")

            asking = asyncio.create_task(stream())
            await asyncio.sleep(1)
            await it.publish_model(arms=[arm_of(("a", it.engine.url))], wakes_s=10)
            await asking
            found = await it.figures_of("a", 1)
            (ttft,) = found.ttft_ms
            assert 1.1**ttft < 950

    run(story())


async def publish_here(it: World, arms: list[object]) -> None:
    """The table that is there, with the model that is served here by these `arms`."""
    it.version += 1
    assert it.published.raw is not None
    models = {"tiny": {"arms": arms, "wakes_s": 10}}
    it.published.raw = json.dumps({**json.loads(it.published.raw), "version": it.version, "models": models}).encode()
    await it.read_again()


def test_a_model_that_a_route_leads_to_is_waited_for_and_woken_too() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            await publish(it, {**backend("local-vllm", ""), "model": "tiny"}, retries=0)
            await publish_here(it, [])
            asking = asyncio.create_task(it.client.post(CHAT, json=chat_body(model="gpt")))
            while not it.published.woken:
                assert not asking.done()
                await asyncio.sleep(0.005)
            await publish_here(it, [arm_of(("", it.engine.url))])
            assert (await asking).status == 200
            assert it.published.woken == ["tiny"]

    run(story())


def test_while_a_route_s_model_wakes_its_other_backends_answer_and_then_it_does() -> None:
    async def story() -> None:
        async with world(answer_json) as it, provider(answer_json) as other:
            here = {**backend("local-vllm", ""), "model": "tiny"}
            await publish(it, here, backend("openai", other.url, weight=0), retries=0)
            await publish_here(it, [])
            answered, _, headers = await ask_route(it)
            assert (answered, headers["x-biplane-backend"]) == (200, "openai/openai-model")
            assert headers["x-biplane-attempts"] == "local-vllm/tiny: asleep, and woken"
            assert (await ask_route(it))[0] == 200
            while not it.published.woken:
                await asyncio.sleep(0.005)
            assert it.published.woken == ["tiny"], "a wish a second is enough"
            await publish_here(it, [arm_of(("", it.engine.url))])
            assert (await ask_route(it))[2]["x-biplane-backend"] == "local-vllm/tiny"

    run(story())

"""What is charged where a request does not simply end well: no answer is free, none costs more than was set aside."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from control.accounts import Counts
from serve_apps.gateway.accounts.bound import bound_of
from serve_apps.gateway.body import parse_request
from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.test_backends import ask, backend, cut, provider, publish, routed
from tests.serve_apps.gateway.test_limits import DOLLAR, PRICE, counted, limit, set_up, used
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    COMPLETIONS,
    KEY,
    MESSAGES,
    Engine,
    World,
    chat_body,
    start_events,
    world,
)

GUARD = {"type": "guard", "words": ["Hi"], "on": "response"}
COST = 100 * 1000 + 20 * 4000


async def endless_claude(request: web.Request) -> web.StreamResponse:
    response = await start_events(request)
    usage = {"input_tokens": 7, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "m",
        "role": "assistant",
        "model": "c",
        "content": [],
        "stop_reason": None,
        "usage": usage,
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    for one in ({"type": "message_start", "message": message}, block):
        await response.write(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode())
    while True:
        await response.write(f"event: content_block_delta\ndata: {json.dumps(delta)}\n\n".encode())
        await asyncio.sleep(0.005)


@asynccontextmanager
async def deployed(handler: Any, **changes: Any) -> AsyncIterator[tuple[World, Engine]]:
    """A route to a model that is served here, at a price."""
    async with world(handler, Timeouts(total_s=3)) as it:
        here = {**backend("local-vllm", ""), "model": "tiny", "price": PRICE}
        await publish(it, {**here, "tokens_per_minute": None, "cost_per_day": None}, gateway="front", **changes)
        yield it, it.engine


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_client_that_leaves_anthropics_stream_pays_for_what_it_got_and_not_for_its_first_token_only(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO", "sk-two")

    async def story() -> None:
        async with world(counted, Timeouts(total_s=3)) as it, provider(endless_claude) as one:
            told = {**backend("anthropic", one.url, env="TWO"), "price": PRICE}
            limits = {"tokens_per_minute": None, "cost_per_day": None}
            await publish(it, {**told, **limits}, gateway="front", path=path, limits=[limit(cost_per_day=DOLLAR)])
            body = chat_body(model="gpt", stream=True, max_tokens=1000)
            async with it.client.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"}) as response:
                for _ in range(60):
                    await response.content.readline()
            await asyncio.wait_for(one.left.wait(), 1)
            counts = await used(it)
            assert counts.errors == 1
            assert counts.prompt == 7
            assert 15 <= counts.completion <= 60

    run(story())


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_that_a_filter_refuses_costs_what_the_backend_asks_for_it(streams: bool) -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            told = {**backend("openai", one.url), "price": PRICE, "tokens_per_minute": None, "cost_per_day": DOLLAR}
            await publish(it, told, gateway="front", filters=[GUARD], limits=[limit(cost_per_day=DOLLAR)])
            assert (await ask(it, stream=streams))[0] == 400
            counts = await used(it)
            assert (counts.requests, counts.errors) == (1, 1)
            assert counts.cost > 0 if streams else counts == Counts(1, 1, 0, 100, 0, 20, COST, 0)
            spent = {one.account: one.spent for report in it.published.reports for one in report.settled}
            assert spent["front/any/openai/openai-model/cost"] == spent["front/api_key/admin/cost"] == counts.cost

    run(story())


@pytest.mark.parametrize("streams", [False, True])
def test_so_does_one_of_a_model_that_is_served_here(streams: bool) -> None:
    async def story() -> None:
        async with deployed(counted, filters=[GUARD]) as (it, _):
            assert (await ask(it, stream=streams))[0] == 400
            counts = await used(it)
            assert (counts.requests, counts.errors) == (1, 1)
            assert counts.cost > 0

    run(story())


def test_each_prompt_of_a_batch_has_its_answer_set_aside() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            told = {**backend("openai", one.url), "price": PRICE, "tokens_per_minute": None, "cost_per_day": None}
            limits = [limit(tokens_per_minute=2000)]
            await publish(it, told, gateway="front", path=COMPLETIONS, limits=limits)
            for prompt, status in (("a", 200), ([1, 2, 3], 200), (["a", "b", "c"], 429), ([[1], [2], [3]], 429)):
                body = {"model": "gpt", "prompt": prompt, "max_tokens": 600}
                async with it.client.post(COMPLETIONS, json=body) as response:
                    assert response.status == status, prompt

    run(story())


def test_what_a_filter_adds_to_a_request_is_set_aside_too() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            told = {**backend("openai", one.url), "price": PRICE, "tokens_per_minute": None, "cost_per_day": None}
            longer = {"type": "template", "system": {"prepend": "Be kind. " * 200}}
            await publish(it, told, gateway="front", filters=[longer], limits=[limit(tokens_per_minute=2000)])
            status, answer, _ = await ask(it, max_tokens=20)
            assert (status, answer["error"]["type"]) == (429, "tokens")
            assert one.bodies == []

    run(story())


def test_an_address_is_set_aside_for_however_its_field_is_written() -> None:
    plain = (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}'
    )
    escaped = plain.replace(b'"url"', b'"\\u0075rl"').replace(b'"image_url":', b'"image\\u005furl":')
    assert bound_of(parse_request(CHAT, escaped)).prompt >= bound_of(parse_request(CHAT, plain)).prompt > 8192


def test_a_key_with_a_budget_is_told_that_waiting_is_no_use_where_nobody_knows_what_a_backend_costs() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            limits = [limit(cost_per_day=DOLLAR)]
            unpriced = {"price": None, "tokens_per_minute": None, "cost_per_day": None}
            await publish(it, {**backend("openai", one.url), **unpriced}, gateway="front", limits=limits)
            status, told, headers = await ask(it)
            assert (status, told["error"]["code"]) == (429, "insufficient_quota")
            assert headers["x-should-retry"] == "false"
            assert "retry-after" not in headers

    run(story())


def test_a_backend_that_breaks_its_streams_off_is_not_well_where_it_is_served_here_either() -> None:
    async def story() -> None:
        async with deployed(cut) as (it, _):
            for _ in range(5):
                async with it.client.post(CHAT, json=chat_body(model="gpt", stream=True)) as response:
                    assert b"stream_interrupted" in await response.read()
            (standing,) = it.gateway._ways.standings()
            assert standing.state == "open"

    run(story())

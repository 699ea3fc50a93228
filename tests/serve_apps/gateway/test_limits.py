"""Limits and budgets on a request's way: who is refused and in which words, what is charged, and what is told of it."""

import asyncio
import json
import threading
from typing import Any

import openai
import pytest
from aiohttp import web

from control.accounts import Counts, Reply, Report
from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.test_backends import ask, backend, claude, provider, publish, routed
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, KEY, World, answer_json, chat_body, start_events, world

DOLLAR = 10**9
PRICE = [1000, 500, 1000, 4000]
SAYS = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


async def counted(request: web.Request) -> web.StreamResponse:
    """A chat of 100 + 20 tokens, whole or as a stream, with its usage where it is asked for."""
    asked = await request.json()
    if not asked.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        return web.json_response({"id": "c", "object": "chat.completion", "choices": [choice], "usage": SAYS})
    response = await start_events(request)
    tells = bool((asked.get("stream_options") or {}).get("include_usage"))
    for choices in ([{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}], []):
        if choices or tells:
            chunk = {"id": "c", "choices": choices, "usage": None if choices else SAYS}
            if not tells:
                del chunk["usage"]
            await response.write(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


def limit(key: str = "api_key", **changes: Any) -> dict[str, Any]:
    told = {"gateway": "front", "key": key, "requests_per_minute": None, "tokens_per_minute": None}
    return {**told, "cost_per_day": None, **changes}


async def set_up(it: World, url: str, *limits: dict[str, Any], **changes: Any) -> None:
    told = {**backend("openai", url), "price": PRICE, "tokens_per_minute": None, "cost_per_day": None, **changes}
    await publish(it, told, gateway="front", limits=limits)


async def stream(it: World, **changes: Any) -> str:
    body = chat_body(**{"model": "gpt", "stream": True, **changes})
    async with it.client.post(CHAT, json=body, headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert response.status == 200
        return (await response.read()).decode()


async def used(it: World) -> Counts:
    """All that the ledger was told of, once something was."""
    while not (told := [counts for report in it.published.reports for _, counts in report.usage]):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    told = [counts for report in it.published.reports for _, counts in report.usage]
    return Counts(*(sum(column) for column in zip(*told, strict=True)))


def test_a_key_that_used_its_requests_is_told_when_to_come_back() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(requests_per_minute=3))
            for left in (2, 1, 0):
                status, _, headers = await ask(it)
                assert status == 200
                assert headers["x-ratelimit-limit-requests"] == "3"
                assert headers["x-ratelimit-remaining-requests"] == str(left)
                assert headers["x-ratelimit-reset-requests"].startswith(("1m0", "1m1", "60", "59"))
            status, told, headers = await ask(it)
            assert status == 429
            assert told["error"]["code"] == "rate_limit_exceeded"
            assert told["error"]["type"] == "requests"
            assert 55 <= int(headers["retry-after"]) <= 62
            assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("3", "0")
            assert len(one.bodies) == 3

    run(story())


def test_an_organisation_is_limited_over_all_its_keys() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            it.published.put_key("other", "bp-other")
            await set_up(it, one.url, limit("organization", requests_per_minute=2))
            await it.read_again()
            assert (await ask(it))[0] == 200
            headers = {"Authorization": "Bearer bp-other"}
            async with it.client.post(CHAT, json=chat_body(model="gpt"), headers=headers) as response:
                assert response.status == 200
            assert (await ask(it))[0] == 429

    run(story())


def test_what_a_request_did_not_take_of_its_tokens_is_free_again() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(tokens_per_minute=3000))
            for _ in range(5):  # each may take about 1,600 and takes 120
                assert (await ask(it, max_tokens=1000))[0] == 200
                await asyncio.sleep(0.05)
            status, told, headers = await ask(it, max_tokens=5000)
            assert (status, told["error"]["type"]) == (429, "tokens")
            assert headers["x-should-retry"] == "false"  # it may take more than there ever is

    run(story())


def test_the_cost_of_a_request_is_of_the_tokens_that_it_took() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            assert (await ask(it))[0] == 200
            await stream(it)
            assert await used(it) == Counts(2, 0, 0, 200, 0, 40, 2 * (100 * 1000 + 20 * 4000), 0)

    run(story())


def test_a_request_without_a_bound_gets_one_where_money_hangs_on_it() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            await ask(it)
            await ask(it, max_tokens=7)
            sent = [json.loads(body) for body in one.bodies]
            assert sent[0]["max_completion_tokens"] == 4096
            assert "max_completion_tokens" not in sent[1]

    run(story())


def test_a_budget_that_is_spent_is_no_use_to_ask_again() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            cost = 100 * 1000 + 20 * 4000
            await set_up(it, one.url, limit(cost_per_day=700_000 + 2 * cost))
            statuses = [(await ask(it, max_tokens=20))[0] for _ in range(3)]
            await asyncio.sleep(0.5)
            status, told, headers = await ask(it, max_tokens=20)
            assert statuses[0] == 200
            assert status == 429
            assert told["error"]["code"] == told["error"]["type"] == "insufficient_quota"
            assert headers["x-should-retry"] == "false"

    run(story())


def test_a_backend_that_used_its_tokens_is_passed_over() -> None:
    async def story() -> None:
        async with routed(counted, counted) as (it, (one, two)):
            first = {**backend("openai", one.url, 3), "price": PRICE, "tokens_per_minute": 2000, "cost_per_day": None}
            second = {**backend("local-vllm", two.url, 0), "price": [0, 0, 0, 0]}
            await publish(it, first, {**second, "tokens_per_minute": None, "cost_per_day": None}, gateway="front")
            # Two at once may take 1,600 each.
            answers = await asyncio.gather(*(ask(it, max_tokens=1000) for _ in range(2)))
            assert [status for status, _, _ in answers] == [200, 200]
            backends = sorted(headers["x-biplane-backend"] for _, _, headers in answers)
            assert backends == ["local-vllm/local-vllm-model", "openai/openai-model"]
            (passed,) = (headers["x-biplane-attempts"] for _, _, headers in answers if "x-biplane-attempts" in headers)
            assert passed.startswith("openai/openai-model: its tokens a minute are in use")

    run(story())


def test_a_route_of_which_all_is_used_up_says_429_and_when() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, tokens_per_minute=700)
            assert (await ask(it, max_tokens=20))[0] == 200
            status, told, headers = await ask(it, max_tokens=20)
            while status == 200:
                status, told, headers = await ask(it, max_tokens=20)
            assert (status, told["error"]["code"]) == (429, "rate_limit_exceeded")
            assert 1 <= int(headers["retry-after"]) <= 62

    run(story())


@pytest.mark.parametrize("asks", [False, True])
def test_the_usage_of_a_stream_is_seen_by_those_who_asked_for_it(asks: bool) -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url)
            options = {"stream_options": {"include_usage": True}} if asks else {}
            text = await stream(it, **options)
            assert json.loads(one.bodies[0])["stream_options"] == {"include_usage": True}
            assert ('"prompt_tokens":100' in text) is asks
            assert ("usage" in text) is asks
            assert text.endswith("data: [DONE]\n\n")
            assert (await used(it)).prompt == 100

    run(story())


def test_anthropics_usage_is_charged_whoever_asks_in_whatever_words() -> None:
    async def story() -> None:
        async with world(answer_json, Timeouts(total_s=3)) as it, provider(claude) as one:
            told = {**backend("anthropic", one.url, env="TWO"), "price": PRICE}
            await publish(it, {**told, "tokens_per_minute": None, "cost_per_day": None}, gateway="front")
            await ask(it)
            await stream(it)
            counts = await used(it)
            assert (counts.prompt, counts.completion) == (14, 4)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWO", "sk-two")
        run(story())


def test_the_official_client_understands_a_refusal() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(requests_per_minute=1))
            client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{it.port}/v1", api_key=KEY, max_retries=0)
            async with client:
                asking: Any = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
                await client.chat.completions.create(**asking)
                with pytest.raises(openai.RateLimitError) as refused:
                    await client.chat.completions.create(**asking)
                assert refused.value.code == "rate_limit_exceeded"

    run(story())


def test_without_a_ledger_rates_are_shared_and_budgets_are_refused() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(requests_per_minute=4))
            it.published.broken = True
            assert [(await ask(it))[0] for _ in range(5)] == [200, 200, 200, 200, 429]  # of one replica
            it.published.broken = False
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            it.published.broken = True
            status, told, _ = await ask(it)
            assert (status, told["error"]["code"]) == (503, "budget_unverified")

    run(story())


def test_a_client_that_leaves_pays_for_what_it_got() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        while True:
            await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
            await asyncio.sleep(0.01)

    async def story() -> None:
        async with routed(endless) as (it, (one,)):
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            async with it.client.post(
                CHAT, json=chat_body(model="gpt", stream=True), headers={"Authorization": f"Bearer {KEY}"}
            ) as response:
                for _ in range(10):
                    await response.content.readline()
            await asyncio.wait_for(one.left.wait(), 1)
            counts = await used(it)
            assert counts.errors == 1
            assert 4 <= counts.completion <= 30
            assert counts.cost == counts.prompt * 1000 + counts.completion * 4000

    run(story())


def test_a_request_that_waits_for_the_ledger_is_answered_although_its_route_is_taken_away() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            asked, answers, lend = threading.Event(), threading.Event(), it.published.lend

            def slow(report: Report) -> Reply:
                if report.asks:
                    asked.set()
                    answers.wait(5)
                return lend(report)

            it.gateway._bank._door = slow
            await set_up(it, one.url, limit(cost_per_day=DOLLAR))
            asking = asyncio.create_task(ask(it))
            await asyncio.to_thread(asked.wait, 5)
            it.version += 1
            it.publish(version=it.version)
            await it.read_again()
            answers.set()
            assert (await asking)[0] == 200

    run(story())

"""Routes to providers: who answers, in whose words, what is tried when one fails, and what the client is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from serve_apps.gateway.attempt import seconds_of
from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.test_surfaces import hello, messages
from tests.serve_apps.gateway.upstream import (
    CHAT,
    KEY,
    Engine,
    Handler,
    World,
    answer_json,
    chat_body,
    engine_of,
    start_events,
    world,
)

USAGE = {"input_tokens": 7, "output_tokens": 2}


def provider(handler: Handler) -> AbstractAsyncContextManager[Engine]:
    """A provider's API at its usual paths."""
    return engine_of(handler, prefix="")


async def claude(request: web.Request) -> web.StreamResponse:
    """Anthropic's Messages: says hello."""
    asked = await request.json()
    assert request.headers["x-api-key"] == "sk-two"
    assert request.headers["anthropic-version"]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    if not asked.get("stream"):
        content = [{"type": "text", "text": "Hello there"}]
        return web.json_response({**head, "content": content, "stop_reason": "end_turn", "usage": USAGE})
    response = await start_events(request)
    delta = {"type": "content_block_delta", "index": 0}
    for event in (
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {**delta, "delta": {"type": "text_delta", "text": "Hello"}},
        {**delta, "delta": {"type": "text_delta", "text": " there"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ):
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return response


def refusing(status: int, code: str = "oops", **headers: str) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        error = {"message": f"it says {code}", "type": code, "param": None, "code": code}
        return web.json_response({"error": error}, status=status, headers=headers)

    return refuse


async def gone_quiet(request: web.Request) -> web.StreamResponse:
    """The head and the role of a stream, and nothing after them."""
    response = await start_events(request)
    await response.write(b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n')
    await asyncio.sleep(30)
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = await start_events(request)
    await response.write(b'data: {"choices": [{"index": 0, "delta": {"content": "He"}}]}\n\n')
    assert request.transport is not None
    request.transport.abort()
    return response


def backend(provider_name: str, url: str, weight: int = 1, **secret: str) -> dict[str, Any]:
    dialect = "anthropic" if provider_name == "anthropic" else "openai"
    told = {"provider": provider_name, "model": f"{provider_name}-model", "weight": weight, "dialect": dialect}
    return {**told, "url": url, "secret": secret}


async def publish(
    it: World, *backends: dict[str, Any], path: str = CHAT, limits: Sequence[dict[str, Any]] = (), **changes: Any
) -> None:
    route = {"name": "any", "path": path, "model": None, "backends": list(backends), "chain": [], "triggers": []}
    settings = {"pool_size": 10, "timeout_s": 0.5, "retries": 2, "streaming": True}
    it.version += 1
    it.publish(version=it.version, routes=[{**route, **settings, **changes}], limits=list(limits))
    await it.read_again()


@asynccontextmanager
async def routed(*handlers: Handler, **changes: Any) -> AsyncIterator[tuple[World, list[Engine]]]:
    """A gateway whose route has one provider of OpenAI's protocol for each handler, the first one with all weight."""
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(world(answer_json, Timeouts(total_s=3)))
        engines = [await stack.enter_async_context(provider(handler)) for handler in handlers]
        backends = [
            backend(name, engine.url, weight=int(number == 0))
            for number, (name, engine) in enumerate(zip(("openai", "local-vllm", "openai"), engines, strict=False))
        ]
        await publish(it, *backends, **changes)
        yield it, engines


async def ask(it: World, **changes: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    async with it.client.post(CHAT, json=chat_body(**{"model": "gpt-x", **changes})) as response:
        return response.status, await response.json(), {name.lower(): value for name, value in response.headers.items()}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")
    monkeypatch.setenv("TWO", "sk-two")


def test_a_model_that_is_not_served_goes_to_the_route_s_backend_under_the_name_that_it_has_there() -> None:
    async def story() -> None:
        async with routed(answer_json) as (it, (one,)):
            await publish(it, backend("openai", one.url, env="ONE"))
            status, told, headers = await ask(it, temperature=0)
            assert (status, told["choices"][0]["message"]["content"]) == (200, "hello")
            assert headers["x-biplane-backend"] == "openai/openai-model"
            sent = json.loads(one.bodies[0])
            assert (sent["model"], sent["temperature"]) == ("openai-model", 0)
            assert one.headers[0]["authorization"] == "Bearer sk-one"
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert "x-biplane-backend" not in response.headers, "a served model is no route's business"
            assert len(one.bodies) == 1

    run(story())


def test_weights_split_the_first_tries_exactly() -> None:
    async def story() -> None:
        async with routed(answer_json, answer_json) as (it, (one, two)):
            await publish(it, backend("openai", one.url, 70), backend("local-vllm", two.url, 30))
            for _ in range(20):
                assert (await ask(it))[0] == 200
            assert (len(one.bodies), len(two.bodies)) == (14, 6)

    run(story())


@pytest.mark.parametrize("streamed", [False, True])
def test_openai_s_client_is_answered_by_anthropic(streamed: bool) -> None:
    async def story() -> None:
        async with routed() as (it, _), provider(claude) as two:
            await publish(it, backend("anthropic", two.url, env="TWO"))
            client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{it.port}/v1", api_key=KEY, max_retries=0)
            said: list[Any] = [{"role": "user", "content": "hi"}]
            if streamed:
                stream = await client.chat.completions.create(model="any", messages=said, stream=True)
                chunks = [chunk async for chunk in stream]
                assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello there"
                assert all(one.choices for one in chunks), "nobody asked for the usage"
            else:
                whole = await client.chat.completions.create(model="any", messages=said)
                assert (whole.choices[0].message.content, whole.model) == ("Hello there", "anthropic-model")
                assert whole.usage is not None
                assert whole.usage.total_tokens == 9
            await client.close()

    run(story())


def test_anthropic_s_client_is_answered_by_anthropic_in_its_own_bytes() -> None:
    async def story() -> None:
        async with routed() as (it, _), provider(claude) as two, messages(it) as client:
            await publish(it, backend("anthropic", two.url, env="TWO"), path="/v1/messages")
            whole = await client.messages.create(**hello(model="claude-x"))
            assert (whole.id, whole.model, whole.stop_reason) == ("msg_1", "anthropic-model", "end_turn")
            async with client.messages.stream(**hello(model="claude-x")) as stream:
                assert (await stream.get_final_text()) == "Hello there"
            assert json.loads(two.bodies[0])["messages"] == hello()["messages"]

    run(story())


@pytest.mark.parametrize(
    "handler",
    [refusing(500), refusing(401), refusing(404), refusing(429), refusing(503, **{"Retry-After": "60"}), gone_quiet],
    ids=["500", "401", "404", "429", "busy", "silent before any content"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_while_nothing_was_passed_on_another_backend_answers_instead(handler: Handler, streamed: bool) -> None:
    async def story() -> None:
        async with routed(handler, answer_json, retries=1) as (it, (one, two)):
            began = perf_counter()
            status, told, headers = await ask(it, stream=streamed)
            assert (status, told["choices"][0]["message"]["content"]) == (200, "hello")
            assert perf_counter() - began < 2
            assert headers["x-biplane-backend"] == "local-vllm/local-vllm-model"
            assert headers["x-biplane-attempts"].startswith("openai/openai-model ")
            assert (len(one.bodies), len(two.bodies)) == (1, 1)

    run(story())


@pytest.mark.parametrize(("status", "code"), [(400, "invalid_request"), (422, "x"), (400, "content_policy_violation")])
def test_what_is_wrong_with_the_request_is_told_at_once_and_asked_nowhere_else(status: int, code: str) -> None:
    async def story() -> None:
        async with routed(refusing(status, code), answer_json) as (it, (one, two)):
            found, told, _ = await ask(it)
            assert (found, told["error"]["code"], told["error"]["message"]) == (status, code, f"it says {code}")
            assert (len(one.bodies), len(two.bodies)) == (1, 0)

    run(story())


def test_when_all_fail_the_client_is_told_what_was_tried_within_the_request_s_time() -> None:
    async def story() -> None:
        async with routed(refusing(500), gone_quiet) as (it, (one, two)):
            began = perf_counter()
            status, told, headers = await ask(it, stream=True)
            assert (status, told["error"]["type"]) in ((503, "server_error"), (504, "server_error"))
            assert "openai/openai-model answered 500" in headers["x-biplane-attempts"]
            assert perf_counter() - began < 3.5
            assert len(one.bodies) + len(two.bodies) == 3, "two retries, over all backends"

    run(story())


def test_a_backend_that_keeps_failing_is_left_alone() -> None:
    async def story() -> None:
        async with routed(refusing(500), answer_json, retries=1) as (it, (one, _)):
            for _ in range(12):
                assert (await ask(it))[0] == 200
            assert len(one.bodies) == 5
            assert "breaker open" in (await ask(it))[2]["x-biplane-attempts"]

    run(story())


def test_what_is_known_of_a_backend_outlives_a_change_of_its_weight_price_and_limits() -> None:
    async def story() -> None:
        async with routed(refusing(500), answer_json, retries=1) as (it, (one, two)):
            for _ in range(5):
                assert (await ask(it))[0] == 200
            changed = {"price": [1, 1, 1, 1], "tokens_per_minute": 100_000, "cost_per_day": 5 * 10**9}
            failing = {**backend("openai", one.url, weight=3), **changed}
            await publish(it, failing, backend("local-vllm", two.url, weight=0), retries=1)
            assert "breaker open" in (await ask(it))[2]["x-biplane-attempts"]
            assert len(one.bodies) == 5

    run(story())


def test_two_routes_with_one_backend_leave_it_each_by_its_own_triggers() -> None:
    failing = iter([refusing(500)] * 3)

    async def failing_thrice(request: web.Request) -> web.StreamResponse:
        return await next(failing, answer_json)(request)

    async def story() -> None:
        async with routed(failing_thrice, answer_json, retries=1) as (it, _):
            assert it.published.raw is not None
            (route,) = json.loads(it.published.raw)["routes"]
            strict = {**route, "name": "strict", "model": "strict", "triggers": ["provider_status != healthy"]}
            it.version += 1
            it.publish(version=it.version, routes=[strict, route])
            await it.read_again()
            for _ in range(3):
                assert (await ask(it))[0] == 200
            answered = [(await ask(it, model=model))[2]["x-biplane-backend"] for model in ("strict", "any", "strict")]
            assert answered == [f"{name}/{name}-model" for name in ("local-vllm", "openai", "local-vllm")]
            found = {(one.route, one.backend): one.why for one in it.gateway._ways.standings()}
            assert "provider_status" in found["strict", "openai/openai-model"]
            assert found["any", "openai/openai-model"] == ""

    run(story())


def test_no_more_requests_are_at_a_backend_than_its_pool_has_and_those_that_wait_too_long_go_elsewhere() -> None:
    at_once, most = 0, 0

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.3)
        at_once -= 1
        return await answer_json(request)

    async def story() -> None:
        async with routed(slow, answer_json, pool_size=2, timeout_s=0.4) as (it, (one, two)):
            asked = await asyncio.gather(*(ask(it) for _ in range(6)))
            assert [status for status, *_ in asked] == [200] * 6
            assert (most, len(one.bodies), len(two.bodies)) == (2, 4, 2)
            assert any(
                "all 2 connections to it are in use" in headers.get("x-biplane-attempts", "") for *_, headers in asked
            )

    run(story())


def test_a_stream_that_was_begun_ends_in_an_error_and_nobody_else_is_asked() -> None:
    async def story() -> None:
        async with (
            routed(cut, answer_json) as (it, (_, two)),
            it.client.post(CHAT, json=chat_body(model="gpt-x", stream=True)) as response,
        ):
            body = await response.read()
            assert response.status == 200
            assert b'"He"' in body
            assert b"stream_interrupted" in body
            assert b"[DONE]" not in body
            assert two.bodies == []

    run(story())


def test_a_backend_may_be_a_model_that_is_served_here() -> None:
    async def story() -> None:
        async with routed(refusing(500)) as (it, (one,)):
            here = {**backend("local-vllm", ""), "model": "tiny", "weight": 0}
            lab = {"type": "headers", "request": {"set": {"x-tenant": "lab"}}}
            await publish(it, backend("openai", one.url), here, filters=[lab])
            status, _, headers = await ask(it)
            assert (status, headers["x-biplane-backend"]) == (200, "local-vllm/tiny")
            assert headers["x-biplane-attempts"].startswith("openai/openai-model answered 500")
            assert it.engine.headers[0]["x-tenant"] == "lab"
            assert json.loads(it.engine.bodies[0])["model"] == "tiny"

    run(story())


def test_a_provider_without_a_key_is_passed_over_and_the_key_s_place_is_told() -> None:
    async def story() -> None:
        async with routed(answer_json) as (it, (one,)):
            await publish(it, backend("openai", one.url, env="NOBODY_SET_THIS"), retries=0)
            status, told, _ = await ask(it)
            assert status == 503
            assert "NOBODY_SET_THIS was not set" in told["error"]["message"]
            assert one.bodies == []

    run(story())


def test_a_route_may_be_for_one_model_and_may_refuse_to_stream() -> None:
    async def story() -> None:
        async with routed(answer_json) as (it, (one,)):
            await publish(it, backend("openai", one.url), model="gpt-y", streaming=False)
            assert (await ask(it))[0] == 404
            async with it.client.post(CHAT, json=chat_body(model="gpt-y", stream=True)) as response:
                assert (response.status, (await response.json())["error"]["param"]) == (400, "stream")

    run(story())


def test_an_error_of_anthropic_s_is_told_to_openai_s_client_in_its_own_form() -> None:
    async def story() -> None:
        async with routed() as (it, _), provider(refusing(400, "invalid_request_error")) as two, messages(it) as client:
            await publish(it, backend("anthropic", two.url, env="TWO"))
            status, told, _ = await ask(it)
            assert (status, told["error"]["message"]) == (400, "it says invalid_request_error")
            await publish(it, backend("anthropic", two.url, env="TWO"), path="/v1/messages")
            with pytest.raises(anthropic.BadRequestError):
                await client.messages.create(**hello(model="claude-x"))

    run(story())


@pytest.mark.parametrize(
    ("told", "seconds"),
    [(None, None), (b"7", 7.0), (b"0.5", 0.5), (b"-1", 0.0), (b"soon", None), (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_a_retry_after_is_seconds_or_a_date(told: bytes | None, seconds: float | None) -> None:
    assert seconds_of(told) == seconds


@pytest.mark.parametrize("told", ["inf", "1e999", "nan", "Fri, 31 Dec 9999 23:59:59 -9999"])
def test_a_retry_after_that_is_no_time_is_no_error_of_the_gateways(told: str) -> None:
    async def story() -> None:
        async with routed(refusing(429, **{"retry-after": told}), retries=0) as (it, _):
            assert (await ask(it))[0] == 429

    run(story())

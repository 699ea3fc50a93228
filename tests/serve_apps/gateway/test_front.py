"""Filters and the cache on a request's way through a route."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from serve_apps.gateway.body import RESPONSES
from serve_apps.gateway.filters.filter import Context, Filter
from tests.serve_apps.gateway.test_backends import ask, backend, publish, routed
from tests.serve_apps.gateway.test_hold import publish_here
from tests.serve_apps.gateway.test_limits import PRICE, counted, stream, used
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    KEY,
    MESSAGES,
    Engine,
    Handler,
    World,
    arm_of,
    chat_body,
    start_events,
)

HERE = "tests.serve_apps.gateway.test_front"
MAIL = {"type": "redact", "presets": ["email"]}


def saying(*pieces: str) -> Handler:
    """An engine that says so, whole or in these pieces."""

    async def say(request: web.Request) -> web.StreamResponse:
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        if not (await request.json()).get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(pieces)}, "finish_reason": "stop"}
            return web.json_response({**head, "choices": [choice]})
        response = await start_events(request)
        for piece in pieces:
            chunk = {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": piece}}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        chunk = {**head, "object": "chat.completion.chunk"}
        chunk["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        await response.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())
        return response

    return say


async def set_up(it: World, engine: Engine, path: str = CHAT, **changes: Any) -> None:
    told = {**backend("openai", engine.url), "price": PRICE, "tokens_per_minute": None, "cost_per_day": None}
    await publish(it, told, path=path, gateway="front", **changes)


class FaultyHeaders(Filter):
    def to_client(self, headers: dict[str, str], context: Context) -> dict[str, str]:
        raise KeyError("nobody wrote this")


def text_of(events: str) -> str:
    found = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    return "".join(one["choices"][0]["delta"].get("content") or "" for one in found if one.get("choices"))


def test_what_is_redacted_never_reaches_the_backend_nor_the_client() -> None:
    async def story() -> None:
        async with routed(saying("write to ada@exam", "ple.org now")) as (it, (one,)):
            await set_up(it, one, filters=[{**MAIL, "on": "both"}])
            body = chat_body(model="gpt", messages=[{"role": "user", "content": "I am bob@example.com"}])
            async with it.client.post(CHAT, json=body) as response:
                whole = await response.json()
            assert b"bob@" not in one.bodies[0]
            assert "ada@" not in whole["choices"][0]["message"]["content"]
            said = text_of(await stream(it))
            assert "ada@" not in said
            assert said.startswith("write to ")
            assert said.endswith(" now")

    run(story())


def test_a_request_that_a_guard_refuses_asks_nobody_in_either_api() -> None:
    async def story() -> None:
        async with routed(saying("hi")) as (it, (one,)):
            guard = {"type": "guard", "words": ["secret plan"]}
            await set_up(it, one, filters=[guard])
            status, told, _ = await ask(it, messages=[{"role": "user", "content": "the secret plan"}])
            assert status == 400
            assert told["error"]["code"]
            await set_up(it, one, path=MESSAGES, filters=[guard])
            body = {"model": "gpt", "max_tokens": 5, "messages": [{"role": "user", "content": "the secret plan"}]}
            async with it.client.post(MESSAGES, json=body) as response:
                assert (response.status, (await response.json())["type"]) == (400, "error")
            assert one.bodies == []

    run(story())


def test_an_answer_is_given_again_whole_and_as_a_stream_and_costs_nothing() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one, cache={"threshold": 0.8, "ttl_s": 60.0, "max_entries": 10, "semantic": False})
            assert "x-biplane-cache" not in (await ask(it))[2]
            status, told, headers = await ask(it)
            assert (status, headers["x-biplane-cache"]) == (200, "exact")
            assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == told["usage"]["prompt_tokens"] == 100
            assert text_of(await stream(it, model="gpt-x")) == "Hi"
            assert len(one.bodies) == 1
            counts = await used(it)
            assert (counts.requests, counts.hits, counts.saved) == (3, 2, 2 * counts.cost)

    run(story())


def test_a_stream_is_kept_and_what_filters_look_at_is_looked_at_again() -> None:
    async def story() -> None:
        async with routed(saying("mail ada@exam", "ple.org")) as (it, (one,)):
            cache = {"threshold": 0.8, "ttl_s": 60.0, "max_entries": 10, "semantic": False}
            await set_up(it, one, cache=cache, filters=[{**MAIL, "on": "response"}])
            first = text_of(await stream(it, model="gpt-x"))
            await asyncio.sleep(0.05)
            status, told, headers = await ask(it)
            assert (status, headers["x-biplane-cache"]) == (200, "exact")
            assert told["choices"][0]["message"]["content"] == first
            assert "ada@" not in first
            assert b"ada@" in next(iter(it.published.kept.values())).body

    run(story())


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_other_apis_have_the_cache_too(path: str) -> None:
    async def story() -> None:
        async with routed(saying("hello")) as (it, (one,)):
            cache = {"threshold": 0.8, "ttl_s": 60.0, "max_entries": 10, "semantic": False}
            await set_up(it, one, path=path, cache=cache)
            body: dict[str, Any] = {"model": "gpt"}
            if path == MESSAGES:
                body |= {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            else:
                body |= {"input": "hi"}
            told = []
            for _ in range(2):
                async with it.client.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"}) as response:
                    assert response.status == 200
                    told.append(await response.text())
            assert "hello" in told[1]
            assert len(one.bodies) == 1

    run(story())


def test_a_backend_that_breaks_off_is_neither_kept_nor_seen_in_the_next_ones_answer() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"write to x@"}}]}\n\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def story() -> None:
        async with routed(broken) as (it, (one,)):
            cache = {"threshold": 0.8, "ttl_s": 60.0, "max_entries": 10, "semantic": False}
            await set_up(it, one, cache=cache, filters=[{**MAIL, "on": "response"}], retries=0)
            async with it.client.post(CHAT, json=chat_body(model="gpt", stream=True)) as response:
                text = (await response.read()).decode()
            assert "[DONE]" not in text
            assert "error" in text
            assert it.published.kept == {}

    run(story())


def test_a_stream_that_filters_cannot_read_ends_in_an_error_and_not_in_nothing() -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(b'data: {"choices": [{"message": {}}]}\n\ndata: [DONE]\n\n')
        return response

    async def story() -> None:
        async with routed(odd) as (it, (one,)):
            await set_up(it, one, filters=[{**MAIL, "on": "response"}], retries=0)
            async with it.client.post(CHAT, json=chat_body(model="gpt", stream=True)) as response:
                assert b"stream_interrupted" in await response.read()

    run(story())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("served", [False, True])
def test_a_filter_that_fails_ends_the_request_and_is_no_failure_of_the_backend_s(served: bool, streamed: bool) -> None:
    async def say(request: web.Request) -> web.StreamResponse:
        if not streamed:
            return await saying("hello")(request)
        response = await start_events(request)
        await response.write(b": nothing yet\n\n")
        await asyncio.sleep(0.02)
        await response.write(b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n')
        return response

    async def story() -> None:
        async with routed(say, saying("hi")) as (it, (one, other)):
            it.engine.handler = say
            first = {**backend("local-vllm", ""), "model": "tiny"} if served else backend("openai", one.url)
            faulty = {"type": f"{HERE}:FaultyHeaders"}
            await publish(it, first, backend("openai", other.url, weight=0), filters=[faulty])
            await publish_here(it, [arm_of(("a", it.engine.url))])
            status, told, headers = await ask(it, stream=streamed)
            assert (status, told["error"]["code"], other.bodies) == (500, "filter_failed", [])
            assert headers["x-biplane-attempts"].endswith(" ended by a filter")
            asked, _ = it.gateway._ways._ways[CHAT, None].specs
            assert asked.health.failures == 0
            if served:
                assert (await it.figures_of("a", 1)).errors == 0

    run(story())

"""Streams that break off and are continued by another backend: what the client sees, what is asked, what is paid."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from serve_apps.gateway.body import CHAT
from tests.serve_apps.gateway.test_backends import USAGE, backend, provider, publish, refusing, routed
from tests.serve_apps.gateway.test_limits import DOLLAR, PRICE, limit, stream, used
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import Engine, Handler, World, chat_body, start_events

HEAD = {"id": "first", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: dict[str, Any], reason: str | None = None, **changes: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({**HEAD, "choices": [choice], **changes}).encode() + b"\n\n"


def breaking(*pieces: str, extra: bytes = b"") -> Handler:
    async def say(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(chunk({"role": "assistant", "content": ""}))
        for piece in pieces:
            await response.write(chunk({"content": piece}))
        await response.write(extra)
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.abort()
        return response

    return say


def ending(*pieces: str) -> Handler:
    async def say(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(chunk({"role": "assistant", "content": ""}, id="second"))
        for piece in pieces:
            await response.write(chunk({"content": piece}, id="second"))
        await response.write(chunk({}, "stop", id="second"))
        tokens = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
        last = {**HEAD, "id": "second", "choices": [], "usage": tokens}
        await response.write(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    return say


async def set_up(it: World, *engines: Engine, first: str = "local-vllm", **changes: Any) -> None:
    limits = changes.pop("limits", ())
    told = []
    for number, (name, engine) in enumerate(zip((first, "local-vllm", "local-vllm"), engines, strict=False)):
        one = {**backend(name, engine.url, weight=int(number == 0)), "price": PRICE, "model": f"m{number}"}
        told.append({**one, "tokens_per_minute": None, "cost_per_day": None})
    settings = {"continuation": True, "gateway": "front", "retries": 1, **changes}
    await publish(it, *told, limits=limits, **settings)


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def said(text: str) -> str:
    found = [one["choices"][0]["delta"].get("content") or "" for one in events_of(text) if one.get("choices")]
    return "".join(found)


def test_a_text_that_breaks_off_is_told_to_its_end_as_one_stream() -> None:
    async def story() -> None:
        async with routed(breaking("The sky ", "is "), ending("blue", ".")) as (it, (one, two)):
            await set_up(it, one, two)
            text = await stream(it, max_tokens=100)
            assert said(text) == "The sky is blue."
            assert text.endswith("data: [DONE]\n\n")
            assert "error" not in text
            assert {event["id"] for event in events_of(text)} == {"first"}
            assert [event["choices"][0]["delta"].get("role") for event in events_of(text)].count("assistant") == 1
            assert ": continued by local-vllm/m1" in text
            asked = json.loads(two.bodies[0])
            assert asked["messages"][-1] == {"role": "assistant", "content": "The sky is"}
            assert asked["continue_final_message"] is True
            assert asked["add_generation_prompt"] is False
            assert asked["max_tokens"] < 100

    run(story())


def test_both_parts_are_paid() -> None:
    async def story() -> None:
        async with routed(breaking("The ", "sky"), ending(" is blue")) as (it, (one, two)):
            await set_up(it, one, two, limits=[limit(cost_per_day=DOLLAR)])
            await stream(it, max_tokens=100)
            counts = await used(it)
            assert (counts.requests, counts.errors) == (2, 0)
            assert counts.prompt > 50
            assert counts.completion >= 7 + 2
            assert counts.cost == counts.prompt * 1000 + counts.completion * 4000

    run(story())


def test_a_continuation_that_nobody_could_give_is_a_request_with_an_error() -> None:
    async def story() -> None:
        async with routed(breaking("The sky"), refusing(500)) as (it, (one, two)):
            await set_up(it, one, two, retries=0)
            assert "stream_interrupted" in await stream(it)
            assert len(two.bodies) == 1
            counts = await used(it)
            assert (counts.requests, counts.errors) == (2, 2)

    run(story())


def test_what_nobody_can_continue_ends_in_an_error_event() -> None:
    async def story() -> None:
        async with routed(breaking("The sky"), breaking(" is"), breaking(" or")) as (it, engines):
            await set_up(it, *engines)
            text = await stream(it)
            assert said(text) == "The sky is or"
            assert "[DONE]" not in text
            assert "stream_interrupted" in text.rstrip().rpartition("\n\n")[2]

    run(story())


def test_providers_that_begin_every_answer_anew_are_not_asked_to_continue() -> None:
    async def story() -> None:
        async with routed(breaking("The sky"), ending(" is blue")) as (it, (one, two)):
            told = [
                {**backend("local-vllm", one.url), "price": PRICE},
                {**backend("openai", two.url, 0), "price": PRICE},
            ]
            await publish(it, *told, continuation=True, gateway="front")
            text = await stream(it)
            assert "stream_interrupted" in text
            assert two.bodies == []

    run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
    ],
)
def test_only_plain_text_is_continued(changes: dict[str, Any]) -> None:
    async def story() -> None:
        async with routed(breaking("The sky"), ending(" is blue")) as (it, (one, two)):
            await set_up(it, one, two)
            assert "stream_interrupted" in await stream(it, **changes)
            assert two.bodies == []

    run(story())


def test_an_answer_that_had_ended_or_called_a_tool_is_not_continued() -> None:
    calls = chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]})

    async def story(extra: bytes) -> None:
        async with routed(breaking("The sky", extra=extra), ending(" is blue")) as (it, (one, two)):
            await set_up(it, one, two)
            assert "stream_interrupted" in await stream(it)
            assert two.bodies == []

    run(story(calls))
    run(story(chunk({}, "stop")))


def test_anthropic_continues_from_where_it_was() -> None:
    async def claude(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        assert asked["messages"][-1]["role"] == "assistant"
        response = await start_events(request)
        head = {"id": "msg", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": USAGE}
        for event in (
            {"type": "message_start", "message": head},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " blue"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response

    async def story() -> None:
        async with routed(breaking("The sky is ")) as (it, (one,)), provider(claude) as two:
            first = {**backend("local-vllm", one.url), "price": PRICE}
            second = {**backend("anthropic", two.url, 0, env="TWO"), "price": PRICE}
            await publish(it, first, second, continuation=True, gateway="front")
            assert said(await stream(it)) == "The sky is blue"

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWO", "sk-two")
        run(story())


def test_without_the_setting_a_stream_that_breaks_off_ends_there() -> None:
    async def story() -> None:
        async with routed(breaking("The sky"), ending(" is blue")) as (it, (one, two)):
            await set_up(it, one, two, continuation=False)
            async with it.client.post(CHAT, json=chat_body(model="gpt", stream=True)) as response:
                assert "stream_interrupted" in (await response.read()).decode()
            assert two.bodies == []

    run(story())

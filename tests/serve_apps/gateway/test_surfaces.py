"""The official clients of Anthropic's Messages and OpenAI's Responses, at a model that only chats."""

import json
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import KEY, World, start_events, world

NAMED = {"id": "chatcmpl-1", "created": 1, "model": "tiny"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
WEATHER = {"name": "weather", "description": "", "input_schema": {"type": "object", "properties": {}}}


async def chat(request: web.Request) -> web.StreamResponse:
    """Says hello; with tools it calls the first one. Whole or in pieces."""
    asked = await request.json()
    if tools := asked.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": '{"city": "Oslo"}'}
        said: dict[str, Any] = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
        deltas, finish = [said], "tool_calls"
    else:
        said, finish = {"content": "Hello there"}, "stop"
        deltas = [{"content": "Hello"}, {"content": " there"}]
    if not asked.get("stream"):
        message = {"role": "assistant", "content": None, **said}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({**NAMED, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    assert asked["stream_options"] == {"include_usage": True}
    response = await start_events(request)

    async def send(choices: list[dict[str, Any]], **more: Any) -> None:
        told = {**NAMED, "object": "chat.completion.chunk", "choices": choices, **more}
        await response.write(b"data: " + json.dumps(told).encode() + b"\n\n")

    for delta in [{"role": "assistant", "content": ""}, *deltas]:
        await send([{"index": 0, "delta": delta, "finish_reason": None}])
    await send([{"index": 0, "delta": {}, "finish_reason": finish}])
    await send([], usage=USAGE)
    await response.write(b"data: [DONE]\n\n")
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = await start_events(request)
    delta = {"index": 0, "delta": {"content": "He"}, "finish_reason": None}
    told = {**NAMED, "object": "chat.completion.chunk", "choices": [delta]}
    await response.write(b"data: " + json.dumps(told).encode() + b"\n\n")
    assert request.transport is not None
    request.transport.abort()
    return response


def messages(it: World, key: str = KEY) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{it.port}", api_key=key, max_retries=0)


def responses(it: World) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{it.port}/v1", api_key=KEY, max_retries=0)


def hello(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}], **changes}


def test_anthropic_s_client_is_answered_whole_and_in_a_stream() -> None:
    async def story() -> None:
        async with world(chat) as it, messages(it) as client:
            whole = await client.messages.create(**hello(system="Be brief."))
            assert [block.text for block in whole.content if block.type == "text"] == ["Hello there"]
            assert (whole.stop_reason, whole.usage.input_tokens, whole.usage.output_tokens) == ("end_turn", 7, 2)
            asked = json.loads(it.engine.bodies[-1])
            assert [one["role"] for one in asked["messages"]] == ["system", "user"]
            async with client.messages.stream(**hello()) as stream:
                texts = [text async for text in stream.text_stream]
                final = await stream.get_final_message()
            assert texts == ["Hello", " there"]
            assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 2)

    run(story())


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropic_s_client_is_told_of_calls(streamed: bool) -> None:
    async def story() -> None:
        async with world(chat) as it, messages(it) as client:
            if streamed:
                async with client.messages.stream(**hello(tools=[WEATHER])) as stream:
                    answer = await stream.get_final_message()
            else:
                answer = await client.messages.create(**hello(tools=[WEATHER]))
            (block,) = answer.content
            assert isinstance(block, anthropic.types.ToolUseBlock)
            assert (block.name, block.input) == ("weather", {"city": "Oslo"})
            assert answer.stop_reason == "tool_use"

    run(story())


def test_anthropic_s_client_is_refused_in_its_own_words() -> None:
    async def story() -> None:
        async with world(chat) as it:
            async with messages(it, "wrong") as client:
                with pytest.raises(anthropic.AuthenticationError):
                    await client.messages.create(**hello())
            async with messages(it) as client:
                with pytest.raises(anthropic.NotFoundError) as refused:
                    await client.messages.create(**hello(model="tinny"))
                body: Any = refused.value.body
                assert body["type"] == "error"
                assert body["error"]["type"] == "not_found_error"
                assert "Did you mean 'tiny'?" in body["error"]["message"]
                with pytest.raises(anthropic.BadRequestError):
                    await client.messages.create(**hello(messages=[{"role": "nobody", "content": 1}]))

    run(story())


def test_a_stream_that_breaks_ends_in_an_error_of_its_own_api() -> None:
    async def story() -> None:
        async with world(cut) as it, messages(it) as client:
            with pytest.raises(anthropic.APIStatusError):
                async with client.messages.stream(**hello()) as stream:
                    await stream.until_done()
            async with responses(it) as other:
                kinds = [
                    event.type async for event in await other.responses.create(model="tiny", input="hi", stream=True)
                ]
            assert kinds[-1] in ("response.failed", "error")
            assert "response.completed" not in kinds

    run(story())


def test_the_client_of_responses_is_answered_whole_and_in_a_stream() -> None:
    async def story() -> None:
        async with world(chat) as it, responses(it) as client:
            whole = await client.responses.create(model="tiny", input="hi", instructions="Be brief.")
            assert (whole.output_text, whole.status) == ("Hello there", "completed")
            assert whole.usage is not None
            assert whole.usage.input_tokens == 7
            events = [event async for event in await client.responses.create(model="tiny", input="hi", stream=True)]
            assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == "Hello there"
            assert events[-1].type == "response.completed"
            with pytest.raises(openai.BadRequestError, match="previous_response_id"):
                await client.responses.create(model="tiny", input="hi", previous_response_id="resp_1")

    run(story())

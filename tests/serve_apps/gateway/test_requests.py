"""What the gateway refuses, in which words, and what it lets through."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from time import perf_counter
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.upstream import (
    CHAT,
    INTERNAL_KEY,
    KEY,
    answer_json,
    chat_body,
    free_port,
    table,
    world,
)


def run(story: Coroutine[Any, Any, None], seconds: float = 20) -> None:
    """On the event loop that Ray gives its actors."""
    uvloop.run(asyncio.wait_for(story, seconds))


async def refusal(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Checks the shape every refusal has and returns its error object."""
    body: dict[str, Any] = await response.json()
    assert (response.status, body["error"]["code"]) == (status, code), body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


def test_a_chat_request_reaches_the_engine_unchanged_and_its_answer_comes_back_unchanged() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            raw = json.dumps(chat_body(temperature=0, unknown_to_us={"a": 1})).encode() + b"  "
            async with it.client.post(CHAT, data=raw, headers={"x-request-id": "mine"}) as response:
                answer = await response.json()
                assert response.status == 200
                assert response.headers.getall("x-request-id") == ["mine"]
            assert answer["usage"]["total_tokens"] == 4
            assert it.engine.bodies == [raw]
            sent = it.engine.headers[0]
            assert sent["authorization"] == f"Bearer {INTERNAL_KEY}"
            assert sent["x-request-id"] == "mine"
            assert sent["x-request-disconnect-disabled"] == "?1"
            assert KEY not in str(sent)

    run(story())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", KEY])
def test_without_a_known_key_nothing_answers_but_healthz(header: str | None) -> None:
    async def story() -> None:
        async with world(answer_json) as it, aiohttp.ClientSession(it.client._base_url) as stranger:
            headers = {} if header is None else {"authorization": header}
            async with stranger.post(CHAT, json=chat_body(), headers=headers) as response:
                error = await refusal(response, 401, "invalid_api_key")
                assert error["type"] == "authentication_error"
                assert response.headers["www-authenticate"] == "Bearer"
            async with stranger.get("/v1/models", headers=headers) as response:
                await refusal(response, 401, "invalid_api_key")
            async with stranger.get("/healthz", headers=headers) as response:
                assert response.status == 200
            assert it.engine.bodies == []

    run(story())


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"\xff\xfe", "invalid_json", None),
        (b"[" * 2000, "invalid_json", None),
        (b'{"model": "tiny", "messages": [], "temperature": NaN}', "invalid_json", None),
        (b'{"model": "tiny", "messages": [], "temperature": 1e999}', "invalid_json", None),
        (b"[]", "invalid_value", None),
        (b'{"messages": []}', "invalid_value", "model"),
        (b'{"model": 3, "messages": []}', "invalid_value", "model"),
        (b'{"model": "tiny"}', "invalid_value", "messages"),
        (b'{"model": "tiny", "messages": "hi"}', "invalid_value", "messages"),
    ],
)
def test_a_malformed_body_is_refused_naming_the_parameter(raw: bytes, code: str, param: str | None) -> None:
    async def story() -> None:
        async with world(answer_json) as it, it.client.post(CHAT, data=raw) as response:
            error = await refusal(response, 400, code)
            assert error["param"] == param
            assert error["type"] == "invalid_request_error"

    run(story())


def test_a_body_over_the_limit_is_refused_whether_its_length_is_declared_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 1024

    async def story() -> None:
        async with world(answer_json) as it:
            async with it.client.post(CHAT, data=b"x" * 5000) as response:
                assert "4096" in (await refusal(response, 413, "request_too_large"))["message"]
            async with it.client.post(CHAT, data=chunks()) as response:
                await refusal(response, 413, "request_too_large")
            assert it.engine.bodies == []
            fits = json.dumps(chat_body()).encode()
            async with it.client.post(CHAT, data=fits + b" " * (4096 - len(fits))) as response:
                assert response.status == 200

    run(story())


def test_an_unknown_model_is_refused_with_the_nearest_name_and_the_list() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            async with it.client.post(CHAT, json=chat_body(model="tinny")) as response:
                message = (await refusal(response, 404, "model_not_found"))["message"]
                assert "Did you mean 'tiny'?" in message
                assert "Models served: tiny." in message
            async with it.client.get("/v1/models/none") as response:
                await refusal(response, 404, "model_not_found")

    run(story())


def test_a_name_that_no_encoding_takes_is_an_unknown_model() -> None:
    async def story() -> None:
        raw = b'{"model": "\\ud800", "messages": []}'
        async with world(answer_json) as it, it.client.post(CHAT, data=raw) as response:
            assert "\ud800" in (await refusal(response, 404, "model_not_found"))["message"]

    run(story())


def test_a_name_of_a_megabyte_is_refused_at_once_and_not_repeated() -> None:
    name = "tiny" * 250_000

    async def story() -> None:
        async with world(answer_json) as it:
            it.publish(version=2, max_body_bytes=1 << 21)
            await it.read_again()
            raw = json.dumps(chat_body(model=name)).encode()
            seconds = []
            for _ in range(3):
                began = perf_counter()
                async with it.client.post(CHAT, data=raw) as response:
                    error = await refusal(response, 404, "model_not_found")
                seconds.append(perf_counter() - began)
                assert name[:100] in error["message"]
                assert len(error["message"]) < 400
            assert min(seconds) < 0.05

    run(story())


def test_unknown_paths_and_methods_are_refused_and_head_and_trailing_slashes_work() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            async with it.client.get("/v1/nothing") as response:
                await refusal(response, 404, "unknown_path")
            async with it.client.get(CHAT) as response:
                await refusal(response, 405, "method_not_allowed")
                assert response.headers["allow"] == "POST"
            async with it.client.post("/v1/models") as response:
                await refusal(response, 405, "method_not_allowed")
            async with it.client.get("/v1/models/") as response:
                assert [model["id"] for model in (await response.json())["data"]] == ["tiny"]
            async with it.client.get("/v1/models/tiny") as response:
                assert (await response.json())["object"] == "model"
            async with it.client.head("/healthz") as response:
                assert (response.status, await response.read()) == (200, b"")
            async with it.client.post(CHAT + "/", json=chat_body()) as response:
                assert response.status == 200

    run(story())


def test_an_engine_that_cannot_be_reached_is_an_unavailable_model() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.published.raw = table(f"http://127.0.0.1:{free_port()}")
            await asyncio.sleep(0.2)
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
                assert int(response.headers["retry-after"]) > 0

    run(story())


def test_a_model_whose_versions_have_no_weight_is_unavailable() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            it.publish(models={"tiny": {"arms": [{"version": "1", "weight": 0, "url": "http://x"}]}})
            await asyncio.sleep(0.2)
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")

    run(story())


def test_an_engine_that_says_nothing_is_a_timeout() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def story() -> None:
        async with world(silent, Timeouts(silence_s=0.2)) as it:
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 504, "upstream_timeout")
            await asyncio.wait_for(it.engine.left.wait(), 1)

    run(story())


@pytest.mark.parametrize(
    ("status", "body", "wanted_status", "wanted_code"),
    [
        (
            400,
            '{"error":{"message":"too long","type":"BadRequestError","param":"messages","code":400}}',
            400,
            "invalid_request",
        ),
        (422, '{"error":{"message":"no","type":"x","param":null,"code":"why"}}', 422, "why"),
        (
            500,
            '{"error":{"message":"engine dead","type":"x","param":null,"code":500}}',
            503,
            "model_unavailable",
        ),
        (401, '{"error":"Unauthorized"}', 503, "model_unavailable"),
        (401, '{"error":{"message":"key","code":"invalid_api_key"}}', 503, "model_unavailable"),
        (404, "Path not found", 503, "model_unavailable"),
        (404, '{"error":{"message":"no such model","type":"NotFoundError","code":404}}', 503, "model_unavailable"),
        (500, "Internal Server Error", 503, "model_unavailable"),
        (503, "<html>", 503, "model_unavailable"),
    ],
)
def test_an_engines_refusal_keeps_its_meaning_in_openai_shape(
    status: int, body: str, wanted_status: int, wanted_code: str
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body)

    async def story() -> None:
        async with world(refuse) as it, it.client.post(CHAT, json=chat_body()) as response:
            await refusal(response, wanted_status, wanted_code)

    run(story())


def test_an_answer_that_breaks_off_before_its_end_is_an_error_and_not_a_short_answer() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices"')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def story() -> None:
        async with world(break_off) as it, it.client.post(CHAT, json=chat_body()) as response:
            await refusal(response, 503, "model_unavailable")

    run(story())


def test_a_client_that_does_not_send_its_request_gives_its_place_back() -> None:
    async def story() -> None:
        async with world(answer_json, Timeouts(body_s=0.1)) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
            writer.write(b"content-length: 100\r\n\r\n{")
            told = await asyncio.wait_for(reader.readuntil(b"}}"), 2)
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b"request_timeout" in told
            writer.close()

    run(story())

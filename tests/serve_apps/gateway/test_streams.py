"""Streams: passed on byte for byte, ended honestly, and dropped the moment the client leaves."""

import asyncio
import json
import socket
from typing import Any

import pytest
from aiohttp import web
from starlette.types import Message

from serve_apps.gateway import delivery
from serve_apps.gateway.proxy import Timeouts
from serve_apps.gateway.stream import EventRelay
from serve_apps.gateway.wire import MOST_UNREAD
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, KEY, answer_json, arm, chat_body, event, start_events, world

DONE = b"data: [DONE]\n\n"
WHOLE = event("He") + event("llo \u2603") + b": a comment\n\n" + event("") + DONE


def assert_cut(received: bytes, sent: bytes) -> None:
    """The client has every whole event that was sent, then an error event, and no `[DONE]`."""
    assert received.startswith(sent)
    assert b"[DONE]" not in received
    last = received[len(sent) :].strip()
    assert last.startswith(b"data: ")
    assert json.loads(last[6:])["error"]["code"] == "stream_interrupted"


def test_a_stream_comes_through_byte_for_byte() -> None:
    async def whole(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        for start in range(0, len(WHOLE), 7):
            await response.write(WHOLE[start : start + 7])
            await asyncio.sleep(0)
        return response

    async def story() -> None:
        async with world(whole) as it, it.client.post(CHAT, json=chat_body(stream=True)) as response:
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-request-id"]
            assert await response.read() == WHOLE

    run(story())


def test_an_event_reaches_the_client_before_the_next_one_is_made() -> None:
    async def story() -> None:
        seen = asyncio.Event()

        async def waiting(request: web.Request) -> web.StreamResponse:
            response = await start_events(request)
            await response.write(event("first"))
            await seen.wait()
            await response.write(event("second") + DONE)
            return response

        async with world(waiting) as it, it.client.post(CHAT, json=chat_body(stream=True)) as response:
            assert await response.content.readuntil(b"\n\n") == event("first")
            seen.set()
            assert await response.content.read() == event("second") + DONE

    run(story())


def test_a_stream_whose_engine_dies_ends_in_an_error_and_never_in_done() -> None:
    async def dies(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(event("He") + b'data: {"choi')
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def story() -> None:
        async with world(dies) as it, it.client.post(CHAT, json=chat_body(stream=True)) as response:
            assert_cut(await response.read(), event("He"))

    run(story())


def test_a_stream_whose_connection_breaks_after_its_end_is_a_whole_one() -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(WHOLE)
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def story() -> None:
        async with world(breaks) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                assert await response.read() == WHOLE
            assert (await it.figures_of("llm:3", 1)).errors == 0
            assert it.published.cut == 0

    run(story())


def test_a_stream_that_ends_cleanly_but_too_early_ends_in_an_error() -> None:
    async def stops(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(event("He"))
        return response

    async def story() -> None:
        async with world(stops) as it, it.client.post(CHAT, json=chat_body(stream=True)) as response:
            assert_cut(await response.read(), event("He"))

    run(story())


def test_a_stream_that_stalls_ends_in_an_error() -> None:
    async def stalls(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(event("He"))
        await asyncio.sleep(30)
        return response

    async def story() -> None:
        async with (
            world(stalls, Timeouts(silence_s=0.3)) as it,
            it.client.post(CHAT, json=chat_body(stream=True)) as response,
        ):
            assert_cut(await response.read(), event("He"))

    run(story())


def test_an_engines_error_event_is_passed_on_without_the_done_that_follows_it() -> None:
    told = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
    for size in (1, 5, 1000):
        relay = EventRelay()
        sent = event("He") + told + DONE
        received = b"".join(relay.feed(sent[i : i + size]) for i in range(0, len(sent), size))
        assert (received + relay.finish()).startswith(event("He") + told.strip())
        assert b"[DONE]" not in received + relay.finish()


def test_a_stream_whose_engine_reports_its_death_in_the_middle_ends_in_that_error_and_not_in_done() -> None:
    told = b'data: {"error": {"message": "EngineCore died", "code": 500}}'

    async def dies(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        await response.write(event("He"))
        await asyncio.sleep(0.05)
        await response.write(told + b"\n\n" + DONE)
        return response

    async def story() -> None:
        async with world(dies) as it:
            await it.publish_model(arms=[arm(it.engine.url, app="llm:3")])
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                assert await response.read() == event("He") + told + b"\n\n"
            assert (await it.figures_of("llm:3", 1)).errors == 1

    run(story())


def test_words_in_an_answer_that_look_like_markers_do_not_end_it() -> None:
    tricky = event('data: {"error": data: [DONE]\n\n') + DONE
    relay = EventRelay()
    assert relay.feed(tricky) + relay.finish() == tricky


@pytest.mark.parametrize("stream", [True, False])
def test_the_engine_is_told_within_a_second_when_the_client_leaves(stream: bool) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        if not stream:
            await asyncio.sleep(30)
        response = await start_events(request)
        while True:
            await response.write(event("more"))
            await asyncio.sleep(0.02)

    async def story() -> None:
        async with world(endless) as it:
            asking = asyncio.create_task(it.client.post(CHAT, json=chat_body(stream=stream)).__aenter__())
            if stream:
                response = await asking
                await response.content.readuntil(b"\n\n")
                response.close()
            else:
                while not it.engine.bodies:
                    await asyncio.sleep(0.01)
                asking.cancel()
            await asyncio.wait_for(it.engine.left.wait(), 1)

    run(story())


async def never_reading(port: int, body: dict[str, Any]) -> socket.socket:
    """A connection on which a request was sent; the kernel takes little of its answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    raw = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(raw)}\r\n\r\n"
    await loop.sock_sendall(client, head.encode() + raw)
    return client


def test_a_client_that_never_reads_is_let_go_when_the_time_of_its_request_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.1, raising=False)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        while True:
            await response.write(event("x" * 900) * 70)

    async def story() -> None:
        async with world(endless, Timeouts(silence_s=0.3, total_s=0.3)) as it:
            (server,) = it.gateway._routes._servers.values()
            with await never_reading(it.port, chat_body(stream=True)) as client:
                async with asyncio.timeout(3):
                    while not server.in_flight:
                        await asyncio.sleep(0.005)
                    while server.in_flight:
                        await asyncio.sleep(0.005)
                    await it.engine.left.wait()
                    while await asyncio.get_running_loop().sock_recv(client, 1 << 20):
                        pass

    run(story())


def test_a_client_that_left_without_reading_costs_the_next_one_nothing() -> None:
    """The engine's answer came whole, but so much of it waits for the client that its connection is not read."""
    first, padding = event("He"), b": " + b"x" * (MOST_UNREAD - 3 - len(DONE)) + b"\n\n"
    begun, leaves, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def engine(request: web.Request) -> web.StreamResponse:
        if begun.is_set():
            return await answer_json(request)
        length = len(first + padding + DONE)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "content-length": f"{length}"})
        await response.prepare(request)
        await response.write(first)
        await begun.wait()
        await response.write(padding + DONE)
        sent.set()
        return response

    asked = iter([{"type": "http.request", "body": json.dumps(chat_body(stream=True)).encode()}])

    async def receive() -> Message:
        for message in asked:
            return message
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            begun.set()
            await asyncio.sleep(30)

    async def story() -> None:
        async with world(engine, Timeouts(silence_s=0.5)) as it:
            headers = [(b"authorization", b"Bearer " + KEY.encode())]
            scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
            answering = asyncio.create_task(it.gateway(scope, receive, send))
            await sent.wait()
            await asyncio.sleep(0.1)
            leaves.set()
            await answering
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == 200

    run(story())

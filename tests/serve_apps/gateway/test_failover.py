"""Applications that die: no request fails while another arm lives, and none waits long."""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from time import perf_counter

import pytest
from aiohttp import web

from serve_apps.gateway import routes
from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    Engine,
    Handler,
    World,
    answer_events,
    answer_json,
    arm,
    arm_of,
    chat_body,
    engine_of,
    event,
    free_port,
    gateway_of,
    start_events,
    world,
)

DEAD = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\ndata: [DONE]\n\n'
UNKNOWN_MODEL = '{"error": {"message": "The model `tiny` does not exist.", "type": "NotFoundError", "code": 404}}'
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
TOO_LONG = b'data: {"error": {"message": "too long", "code": 400}}\n\ndata: [DONE]\n\n'


@contextlib.asynccontextmanager
async def two(first: Handler, second: Handler) -> AsyncIterator[tuple[World, Engine, Engine]]:
    """A gateway with two arms of the same weight; the first is asked first."""
    async with engine_of(first) as one, engine_of(second) as other, gateway_of(one, None, True) as it:
        await it.publish_model(arms=[arm(one.url, version=1, app="llm:1"), arm(other.url, version=2, app="llm:2")])
        yield it, one, other


@contextlib.asynccontextmanager
async def two_replicas(first: Handler, second: Handler) -> AsyncIterator[tuple[World, Engine, Engine]]:
    """A gateway with one arm of the replicas a and b; a is asked first."""
    async with engine_of(first) as one, engine_of(second) as other, gateway_of(one, None, True) as it:
        await it.publish_model(arms=[arm_of(("a", one.url), ("b", other.url))])
        yield it, one, other


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port that takes no connection and refuses none, as a machine that is gone."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def answers(status: int, text: str = "") -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text)

    return answer


def events(*parts: bytes) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await start_events(request)
        for part in parts:
            await response.write(part)
        return response

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices"')
    return await hangs_up(request)


async def breaks_off_before_the_first_event(request: web.Request) -> web.StreamResponse:
    await start_events(request)
    return await hangs_up(request)


def once(first: Handler, then: Handler) -> Handler:
    handlers = iter([first])

    def answer(request: web.Request) -> Awaitable[web.StreamResponse]:
        return next(handlers, then)(request)

    return answer


@pytest.mark.parametrize("port", [contextlib.nullcontext, deaf_port])
def test_no_request_fails_or_waits_because_of_an_application_that_cannot_be_reached(
    port: Callable[[], contextlib.AbstractContextManager[int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 60.0)

    async def story() -> None:
        async with world(answer_json) as it:
            with port() as deaf:
                gone = f"http://127.0.0.1:{deaf or free_port()}"
                await it.publish_model(arms=[arm(gone, app="llm:gone"), arm(it.engine.url, version=4, app="llm:4")])

                async def ask() -> tuple[int, str, float]:
                    began = perf_counter()
                    async with it.client.post(CHAT, json=chat_body()) as response:
                        return response.status, response.headers["x-biplane-version"], perf_counter() - began

                one_by_one = [await ask() for _ in range(30)]
                assert max(seconds for *_, seconds in one_by_one) < 1.9, "a second, and what a busy machine takes"
                told = one_by_one + await asyncio.gather(*(ask() for _ in range(30)))
                assert Counter((status, version) for status, version, _ in told) == {(200, "4"): 60}
                found = await it.figures_of("llm:4", 60)
                gone_found = await it.figures_of("llm:gone", 1)
                assert (found.requests, found.errors) == (60, 0)
                assert gone_found.requests == gone_found.errors <= 2, "the others were told by the first"

    run(story())


def test_many_that_take_no_connection_cost_a_request_no_more_than_a_second_in_all() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            with contextlib.ExitStack() as stack:
                ports = [stack.enter_context(deaf_port()) for _ in range(5)]
                deaf = [(f"deaf:{port}", f"http://127.0.0.1:{port}") for port in ports]
                await it.publish_model(arms=[arm_of(*deaf, ("live", it.engine.url))])
                began = perf_counter()
                async with it.client.post(CHAT, json=chat_body()) as response:
                    assert (response.status, response.headers["x-biplane-replica"]) == (200, "live")
                assert perf_counter() - began < 1.5, "a second, and what a busy machine takes"
            servers = it.gateway._routes._servers.values()
            assert sum(server.avoided_until > 0 for server in servers) == 5, "each of them was tried"

    run(story())


def test_a_replica_that_broke_off_once_has_its_share_again_before_its_next_answer_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 0.3)

    async def story() -> None:
        go = asyncio.Event()

        async def answer_late(request: web.Request) -> web.StreamResponse:
            await go.wait()
            return await answer_json(request)

        async with two_replicas(once(hangs_up, answer_late), answer_late) as (it, first, second):

            async def ask() -> str:
                async with it.client.post(CHAT, json=chat_body()) as response:
                    assert response.status == 200
                    return response.headers["x-biplane-replica"]

            asking = [asyncio.create_task(ask())]
            while len(second.bodies) < 1:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.35)
            for sent in range(1, 12):
                asking.append(asyncio.create_task(ask()))
                while len(first.bodies) - 1 + len(second.bodies) == sent:
                    await asyncio.sleep(0.001)
            go.set()
            assert Counter(await asyncio.gather(*asking)) == {"a": 6, "b": 6}

    run(story())


def test_an_application_that_comes_back_is_used_again_within_two_seconds() -> None:
    async def story() -> None:
        async with world(answer_json) as it:
            port = free_port()
            back = f"http://127.0.0.1:{port}/llm/tiny/3"
            await it.publish_model(arms=[arm(back, version=1), arm(it.engine.url, version=2)])
            versions = Counter[str]()
            application = web.Application()
            application.router.add_post("/llm/tiny/3" + CHAT, answer_json)
            runner = web.AppRunner(application)
            for turn in range(120):
                async with it.client.post(CHAT, json=chat_body()) as response:
                    assert response.status == 200
                    versions[response.headers["x-biplane-version"]] += turn >= 100
                if turn == 20:
                    assert versions["1"] == 0
                    await runner.setup()
                    await web.TCPSite(runner, "127.0.0.1", port).start()
                    await asyncio.sleep(1.1)
            await runner.cleanup()
            assert versions == {"1": 10, "2": 10}

    run(story())


@pytest.mark.parametrize(
    ("fails", "stream"),
    [
        (hangs_up, False),
        (breaks_off, False),
        (answers(500), False),
        (answers(502, "<html>"), False),
        (answers(503, "no replica"), True),
        (answers(404, "Path not found"), True),
        (answers(404, UNKNOWN_MODEL), False),
        (answers(404, UNKNOWN_MODEL), True),
        (breaks_off_before_the_first_event, True),
        (events(), True),
        (events(DEAD), True),
        (events(ROLE, DEAD), True),
        (events(ROLE), True),
        (events(b"data: no chunk\n\n"), True),
    ],
)
def test_a_failure_before_anything_was_answered_is_made_good_by_the_other_arm(fails: Handler, stream: bool) -> None:
    async def story() -> None:
        async with two(fails, answer_events if stream else answer_json) as (it, first, second):
            for _ in range(4):
                async with it.client.post(CHAT, json=chat_body(stream=stream)) as response:
                    body = await response.read()
                    assert (response.status, response.headers["x-biplane-version"]) == (200, "2")
                    assert body.endswith(b"[DONE]\n\n") if stream else json.loads(body)["choices"]
            assert len(first.bodies) >= 1
            assert len(second.bodies) == 4
            found = await it.figures_of("llm:1", 1)
            assert found.errors == found.requests
            assert (await it.figures_of("llm:2", 4)).errors == 0

    run(story())


def test_both_arms_failing_is_told_after_two_tries() -> None:
    async def story() -> None:
        async with two(answers(500), answers(500)) as (it, first, second):
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
            assert (len(first.bodies), len(second.bodies)) == (1, 1)

    run(story())


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (answers(400, '{"error": {"message": "no", "code": "bad"}}'), 400, "bad"),
        (answers(429, '{"error": {"message": "no", "code": "slow"}}'), 429, "slow"),
        (events(TOO_LONG), 400, "invalid_request"),
    ],
)
def test_what_a_client_did_wrong_is_not_tried_again_and_no_error_of_the_application(
    handler: Handler, status: int, code: str
) -> None:
    async def story() -> None:
        async with two(handler, handler) as (it, first, second):
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                await refusal(response, status, code)
                app = f"llm:{response.headers['x-biplane-version']}"
            assert len(first.bodies) + len(second.bodies) == 1
            found = await it.figures_of(app, 1)
            assert (found.errors, found.latency_ms) == (0, {})

    run(story())


def test_a_stream_that_dies_after_its_first_event_is_not_begun_again() -> None:
    async def story() -> None:
        dying = events(event("He"))
        async with two(dying, dying) as (it, first, second):
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                body = await response.read()
                app = f"llm:{response.headers['x-biplane-version']}"
            assert body.startswith(event("He"))
            assert b"stream_interrupted" in body
            assert b"[DONE]" not in body
            assert len(first.bodies) + len(second.bodies) == 1
            found = await it.figures_of(app, 1)
            assert (found.requests, found.errors, found.latency_ms) == (1, 1, {})
            assert sum(found.ttft_ms.values()) == 1

    run(story())


@pytest.mark.parametrize(
    ("first", "tries", "status"),
    [
        (hangs_up, 2, 200),
        (breaks_off, 2, 200),
        (answers(502), 2, 200),
        (events(), 2, 200),
        (answers(500), 1, 503),
        (answers(503), 1, 503),
        (events(DEAD), 1, 503),
    ],
)
def test_with_one_arm_only_what_broke_off_is_tried_again_because_another_replica_may_answer(
    first: Handler, tries: int, status: int
) -> None:
    async def story() -> None:
        async with world(once(first, answer_json)) as it:
            async with it.client.post(CHAT, json=chat_body()) as response:
                assert response.status == status
            assert len(it.engine.bodies) == tries

    run(story())


@pytest.mark.parametrize("begins", [True, False])
def test_what_came_too_late_is_not_tried_again(begins: bool) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        if begins:
            await start_events(request)
        await asyncio.sleep(30)
        return web.Response()

    async def story() -> None:
        async with world(silent, Timeouts(silence_s=0.2)) as it:
            both = [arm(it.engine.url, app="a"), arm(it.engine.url.replace("127.0.0.1", "localhost"), app="a")]
            await it.publish_model(arms=both)
            async with it.client.post(CHAT, json=chat_body(stream=True)) as response:
                await refusal(response, 504, "upstream_timeout")
            assert len(it.engine.bodies) == 1
            assert (await it.figures_of("a", 1)).errors == 1

    run(story())

"""Replicas of one arm: found at their own addresses, left when they die, hang or drain; no request fails for it."""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from aiohttp import web

from control.engine_report import EngineReport
from serve_apps.gateway import routes
from serve_apps.gateway.proxy import Timeouts
from serve_apps.gateway.replicas import Server, Visit
from serve_apps.gateway.routes import MOST_FAILURES
from serve_apps.gateway.table import Arm, Replica
from tests.serve_apps.gateway.test_failover import answers, breaks_off_before_the_first_event, deaf_port, hangs_up, once
from tests.serve_apps.gateway.test_requests import refusal, run
from tests.serve_apps.gateway.upstream import (
    CHAT,
    STALE_SECONDS,
    Engine,
    Handler,
    World,
    answer_events,
    answer_json,
    arm_of,
    chat_body,
    engine_of,
    event,
    free_port,
    gateway_of,
    start_events,
)

NAMES = "abcdef"
NO_WAIT_SECONDS = 1.9
"""A second, and what a busy machine takes for the tests. The waits that there must not be are of 2 s and more."""


@contextlib.asynccontextmanager
async def replicas(
    *handlers: Handler, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[World, dict[str, Engine]]]:
    """A gateway and one arm with a replica for each handler, called a, b, c, ... They are known at their own addresses
    only: nothing listens at their routes.
    """
    async with contextlib.AsyncExitStack() as stack:
        engines = {
            name: await stack.enter_async_context(engine_of(handler))
            for name, handler in zip(NAMES, handlers, strict=False)
        }
        it = await stack.enter_async_context(gateway_of(engines["a"], timeouts, True))
        it.published.engines = {name: EngineReport(engine.url) for name, engine in engines.items()}
        await it.publish_model(arms=[arm_of(*((name, nowhere()) for name in engines))])
        yield it, engines
        assert in_flight(it) == 0


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def in_flight(it: World) -> int:
    return sum(server.in_flight + len(server.waiting) for server in it.gateway._routes._servers.values())


async def ask(it: World, **changes: Any) -> tuple[str, float, bytes]:
    """Which replica answered, within how many seconds, and what."""
    began = perf_counter()
    async with it.client.post(CHAT, json=chat_body(**changes)) as response:
        body = await response.read()
        assert response.status == 200, body
        return response.headers["x-biplane-replica"], perf_counter() - began, body


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def begins_and_hangs(request: web.Request) -> web.StreamResponse:
    await start_events(request)
    return await hangs(request)


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.1)
    return await answer_json(request)


async def lost(it: World, *apps: str) -> None:
    """Returns when the gateway has given them up, and has taken back what it then takes back."""
    while not {server.replica.app for server in it.gateway._routes._servers.values() if server.lost}.issuperset(apps):
        await asyncio.sleep(0.005)


def test_a_replica_is_asked_at_its_own_address_and_on_its_route_while_that_is_not_known() -> None:
    async def story() -> None:
        async with engine_of(answer_json) as route, replicas(answer_json) as (it, engines):
            await it.publish_model(arms=[arm_of(("a", route.url))])
            assert (await ask(it))[0] == "a"
            assert (len(engines["a"].bodies), len(route.bodies)) == (1, 0)
            it.published.engines = {}
            await it.read_again()
            assert (await ask(it))[0] == "a"
            assert (len(engines["a"].bodies), len(route.bodies)) == (1, 1)
            it.published.engines = {"a": EngineReport(engines["a"].url)}
            await it.read_again()
            it.published.broken = True
            await it.read_again()
            await ask(it)
            assert (len(engines["a"].bodies), len(route.bodies)) == (2, 1), "the last good reading is held"

    run(story())


def test_replicas_share_the_requests_and_the_name_of_the_model_reaches_them_unchanged() -> None:
    async def story() -> None:
        async with replicas(slow, slow) as (it, engines):
            replicated = {"arms": [arm_of(*((name, nowhere()) for name in engines))]}
            it.publish(version=3, models={"tiny": replicated, "tiny-polite": replicated})
            await it.read_again()
            asked = await asyncio.gather(*(ask(it, model=model) for model in ("tiny", "tiny-polite") * 8))
            assert Counter(name for name, *_ in asked) == {"a": 8, "b": 8}, "an adapter's requests count on its engine"
            models = [json.loads(body)["model"] for engine in engines.values() for body in engine.bodies]
            assert Counter(models) == {"tiny": 8, "tiny-polite": 8}
            assert (await it.figures_of("a", 8)).requests == 8

    run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_no_request_fails_or_waits_when_one_of_two_replicas_is_killed_under_load(stream: bool) -> None:
    async def quick(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return await (answer_events if stream else answer_json)(request)

    async def story() -> None:
        async with replicas(quick, quick) as (it, engines):
            told: list[tuple[str, float, bytes]] = []

            async def client() -> None:
                for _ in range(8):
                    told.append(await ask(it, stream=stream))

            clients = asyncio.gather(*(client() for _ in range(32)))
            while len(told) < 64:
                await asyncio.sleep(0.005)
            usual = max(seconds for _, seconds, _ in told)
            await engines["a"].die()
            assert len(told) < 200, "or it was killed after the fact"
            await clients
            assert len(told) == 256
            assert max(seconds for _, seconds, _ in told) < usual + 1
            cut = [body for *_, body in told if b"stream_interrupted" in body]
            whole = sum(body.endswith(b"[DONE]\n\n") if stream else b"usage" in body for *_, body in told)
            assert len(cut) + whole == 256
            assert len(cut) <= (16 if stream else 0), "those that it had begun to answer, and no others"
            found = await it.figures_of("a", 1)
            assert found.errors >= len(cut) == it.published.cut

    run(story())


@pytest.mark.parametrize("dead", [1, 2])
def test_of_an_arm_whose_replicas_are_dead_but_one_the_last_answers(dead: int) -> None:
    async def story() -> None:
        async with replicas(*([answer_json] * (dead + 1))) as (it, engines):
            for name in NAMES[:dead]:
                await engines[name].die()
            asked = [await ask(it) for _ in range(6)] + await asyncio.gather(*(ask(it) for _ in range(20)))
            assert {name for name, *_ in asked} == {NAMES[dead]}
            assert max(seconds for _, seconds, _ in asked) < NO_WAIT_SECONDS

    run(story())


def test_two_replicas_that_take_no_connection_cost_less_than_a_second_and_only_the_first_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 60.0)
    usual = Timeouts()
    assert 2 * usual.eager_connect_s < 1 < usual.connect_s

    async def story() -> None:
        with deaf_port() as one, deaf_port() as other:
            async with replicas(answer_json, timeouts=replace(usual, eager_connect_s=0.15)) as (it, _):
                urls = {"c": f"http://127.0.0.1:{one}", "d": f"http://127.0.0.1:{other}"}
                it.published.engines |= {name: EngineReport(url) for name, url in urls.items()}
                await it.publish_model(arms=[arm_of(*((name, nowhere()) for name in "acd"))])
                asked = [await ask(it) for _ in range(9)]
                assert {name for name, *_ in asked} == {"a"}
                assert max(seconds for _, seconds, _ in asked) < NO_WAIT_SECONDS
                assert [(await it.figures_of(app, 1)).requests for app in "cd"] == [1, 1]

    run(story())


def test_with_more_dead_replicas_than_a_request_has_tries_one_request_pays_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 60.0)

    async def story() -> None:
        async with replicas(answer_json, answer_json, answer_json, answer_json) as (it, engines):
            for name in "bcd":
                await engines[name].die()
            seen = Counter[int]()
            for _ in range(8):
                async with it.client.post(CHAT, json=chat_body()) as response:
                    seen[response.status] += 1
            assert seen[503] <= 1
            assert seen[200] >= 7

    run(story())


def test_when_every_replica_of_an_arm_is_dead_another_arm_answers() -> None:
    async def story() -> None:
        async with replicas(answer_json, answer_json, answer_json) as (it, engines):
            old = arm_of(("a", nowhere()), ("b", nowhere()), version="1", weight=99)
            new = arm_of(("c", nowhere()), version="2", weight=1)
            await it.publish_model(arms=[old, new])
            await it.read_again()
            for name in "ab":
                await engines[name].die()
            assert {(await ask(it))[0] for _ in range(5)} == {"c"}

    run(story())


def test_where_every_replica_is_dead_a_request_is_refused_at_once_and_nothing_waits_on_their_routes() -> None:
    async def story() -> None:
        async with engine_of(answer_json) as route, replicas(answer_json, answer_json) as (it, engines):
            await it.publish_model(arms=[arm_of(("a", route.url), ("b", route.url))])
            await it.read_again()
            await engines["a"].die()
            assert {(await ask(it))[0] for _ in range(6)} == {"b"}
            assert route.bodies == []
            await engines["b"].die()
            began = perf_counter()
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
                assert response.headers["retry-after"]
            assert perf_counter() - began < NO_WAIT_SECONDS
            assert route.bodies == []

    run(story())


@pytest.mark.parametrize("fails", [hangs_up, breaks_off_before_the_first_event])
def test_a_replica_that_breaks_off_before_an_answer_is_left_alone_for_a_while(
    fails: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 60.0)

    async def story() -> None:
        async with replicas(fails, fails, answer_events) as (it, engines):
            assert {(await ask(it, stream=True))[0] for _ in range(12)} == {"c"}
            assert len(engines["a"].bodies) == len(engines["b"].bodies) == 1

    run(story())


def test_what_every_engine_answers_with_a_failure_is_sent_twice_and_no_more() -> None:
    async def story() -> None:
        async with replicas(answers(500), answers(500), answers(500)) as (it, engines):
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
                assert response.headers["x-biplane-replica"] in NAMES
            assert sum(len(engine.bodies) for engine in engines.values()) == 2

    run(story())


@pytest.mark.parametrize("trouble", [False, True])
@pytest.mark.parametrize(("hangs_so", "stream"), [(hangs, False), (hangs, True), (begins_and_hangs, True)])
def test_a_request_is_taken_back_from_a_replica_that_hangs_once_that_is_known(
    hangs_so: Handler, stream: bool, trouble: bool
) -> None:
    async def story() -> None:
        async with replicas(hangs_so, answer_events if stream else answer_json) as (it, engines):
            asking = asyncio.gather(*(ask(it, stream=stream) for _ in range(8)))
            while len(engines["a"].bodies) + len(engines["b"].bodies) < 8:
                await asyncio.sleep(0.01)
            hanging = len(engines["a"].bodies)
            assert hanging
            known = perf_counter()
            if trouble:
                stuck = replace(it.published.engines["a"], accepts=False, trouble="no token for 20 s")
                it.published.engines["a"] = stuck
            else:
                it.published.silent.add("a")
            asked = await asking
            assert {name for name, *_ in asked} == {"b"}
            assert perf_counter() - known < STALE_SECONDS + NO_WAIT_SECONDS, "and not after all that a request has"
            await asyncio.wait_for(engines["a"].left.wait(), 1)
            assert {(await ask(it, stream=stream))[0] for _ in range(4)} == {"b"}, "and nobody else goes there"
            assert (await it.figures_of("a", hanging)).errors == hanging

    run(story())


def test_a_request_that_waits_where_nobody_else_is_well_goes_on_waiting_and_is_answered() -> None:
    async def story() -> None:
        answering = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await answering.wait()
            return await answer_json(request)

        async with replicas(late, late) as (it, engines):
            it.published.silent.update("ab")
            await lost(it, "a", "b")
            asking = [asyncio.create_task(ask(it)) for _ in range(2)]
            while sum(len(engine.bodies) for engine in engines.values()) < 2:
                await asyncio.sleep(0.01)
            await it.read_again()
            answering.set()
            assert {(await one)[0] for one in asking} == {"a", "b"}

    run(story())


def test_a_replica_that_drains_gets_nothing_new_and_finishes_what_it_has() -> None:
    async def story() -> None:
        answering = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await answering.wait()
            return await answer_json(request)

        async with replicas(late, answer_json) as (it, engines):
            asking = [asyncio.create_task(ask(it)) for _ in range(2)]
            while not engines["a"].bodies:
                await asyncio.sleep(0.01)
            it.published.engines["a"] = replace(it.published.engines["a"], accepts=False)
            await it.read_again()
            assert {(await ask(it))[0] for _ in range(4)} == {"b"}
            await it.publish_model(arms=[arm_of(("b", nowhere()))])
            await it.read_again()
            answering.set()
            assert {(await one)[0] for one in asking} == {"a", "b"}

    run(story())


def test_a_stream_that_began_is_not_taken_back_from_a_replica_that_falls_silent() -> None:
    async def story() -> None:
        going_on = asyncio.Event()

        async def stalls(request: web.Request) -> web.StreamResponse:
            response = await start_events(request)
            await response.write(event("He"))
            await going_on.wait()
            await response.write(event("llo") + b"data: [DONE]\n\n")
            return response

        async with (
            replicas(stalls, stalls) as (it, engines),
            it.client.post(CHAT, json=chat_body(stream=True)) as response,
        ):
            await response.content.readuntil(b"\n\n")
            it.published.silent.add(response.headers["x-biplane-replica"])
            await lost(it, response.headers["x-biplane-replica"])
            going_on.set()
            assert await response.read() == event("llo") + b"data: [DONE]\n\n"
            assert sum(len(engine.bodies) for engine in engines.values()) == 1

    run(story())


def test_a_request_is_taken_back_from_a_replica_that_the_table_does_not_name_any_more() -> None:
    async def story() -> None:
        async with replicas(hangs, answer_json) as (it, engines):
            asking = [asyncio.create_task(ask(it)) for _ in range(2)]
            while not engines["a"].bodies:
                await asyncio.sleep(0.01)
            it.published.silent.add("a")
            await it.publish_model(arms=[arm_of(("b", nowhere()))])
            assert {(await asyncio.wait_for(one, 2))[0] for one in asking} == {"b"}

    run(story())


def test_a_client_that_leaves_while_its_request_is_taken_back_is_gone_and_nothing_is_left_over() -> None:
    async def story() -> None:
        async with replicas(hangs, hangs) as (it, engines):
            asking = [asyncio.create_task(ask(it)) for _ in range(8)]
            while sum(len(engine.bodies) for engine in engines.values()) < 8:
                await asyncio.sleep(0.01)
            it.published.silent.add("a")
            await lost(it, "a")
            for one in asking:
                one.cancel()
            while in_flight(it):
                await asyncio.sleep(0.01)

    run(story())


def test_a_replica_that_began_anew_at_another_address_is_used_at_once() -> None:
    async def story() -> None:
        async with replicas(answer_json, answer_json) as (it, engines), engine_of(answer_json) as successor:
            await engines["a"].die()
            assert {(await ask(it))[0] for _ in range(4)} == {"b"}
            it.published.engines["a"] = EngineReport(successor.url)
            await it.read_again()
            assert Counter([(await ask(it))[0] for _ in range(10)]) == {"a": 5, "b": 5}

    run(story())


def test_a_store_that_is_away_makes_nobody_stale() -> None:
    async def story() -> None:
        async with replicas(answer_json, answer_json) as (it, _):
            it.published.broken = True
            await asyncio.sleep(2 * STALE_SECONDS)
            assert Counter([(await ask(it))[0] for _ in range(10)]) == {"a": 5, "b": 5}
            it.published.broken = False
            await it.read_again()
            assert Counter([(await ask(it))[0] for _ in range(10)]) == {"a": 5, "b": 5}

    run(story())


def test_the_same_instructions_go_to_the_same_replica_and_a_session_to_its_own() -> None:
    def messages(system: str, question: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": system}, {"role": "user", "content": question}]

    async def story() -> None:
        async with replicas(answer_json, answer_json, answer_json) as (it, engines):
            arms = [arm_of(*((name, nowhere()) for name in engines))]
            await it.publish_model(arms=arms, affinity="prefix")
            await it.read_again()
            homes = set()
            for system in (f"You are number {number}." for number in range(12)):
                asked = [await ask(it, messages=messages(system, f"What is {number}?")) for number in range(3)]
                assert len({name for name, *_ in asked}) == 1
                homes.add(asked[0][0])
            assert homes == set(engines)
            await it.publish_model(arms=arms, sticky="user")
            await it.read_again()
            users = {user: {(await ask(it, user=user))[0] for _ in range(3)} for user in map(str, range(12))}
            assert all(len(names) == 1 for names in users.values())
            assert set().union(*users.values()) == set(engines)

    run(story())


def test_a_request_whose_only_replica_dies_under_it_is_answered_by_the_same_one_started_anew() -> None:
    async def story() -> None:
        async with engine_of(answer_json) as route, replicas(once(hangs_up, answer_json)) as (it, engines):
            await it.publish_model(arms=[arm_of(("a", route.url))])
            await it.read_again()
            await ask(it)
            assert (len(engines["a"].bodies), len(route.bodies)) == (2, 0)

    run(story())


def test_more_replicas_than_a_request_has_tries_may_be_dead() -> None:
    async def story() -> None:
        async with replicas(*[answer_json] * 6) as (it, engines):
            for name in "abcde":
                await engines[name].die()
            assert (await ask(it))[0] == "f"

    run(story())


def test_a_replica_that_fails_every_time_is_avoided_and_one_that_fails_now_and_then_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "QUARANTINE_SECONDS", 60.0)
    turns = itertools.count()

    async def now_and_then(request: web.Request) -> web.StreamResponse:
        return await (answers(500) if next(turns) % 2 else answer_json)(request)

    async def story() -> None:
        for fails, asked in ((answers(500), {MOST_FAILURES}), (now_and_then, {19, 20, 21})):
            async with replicas(fails, answer_json) as (it, engines):
                for _ in range(40):
                    await ask(it)
                assert len(engines["a"].bodies) in asked

    run(story())


def test_an_only_replica_that_breaks_off_every_time_is_asked_twice() -> None:
    async def story() -> None:
        async with replicas(hangs_up) as (it, engines):
            await it.publish_model(arms=[arm_of(("a", engines["a"].url))])
            async with it.client.post(CHAT, json=chat_body()) as response:
                await refusal(response, 503, "model_unavailable")
            assert len(engines["a"].bodies) == 2

    run(story())


def test_a_request_that_is_taken_back_while_its_client_leaves_has_left() -> None:
    async def story() -> None:
        server, ends = Server(Replica("a", "http://a")), []

        async def wait() -> None:
            visit = Visit(server, Arm("1", 1.0, ()), "http://a", "m", task=asyncio.current_task())
            try:
                with visit:
                    await asyncio.sleep(30)
            except asyncio.CancelledError:
                ends.append(visit.uncancel())

        for leaves in (False, True):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            (visit,) = server.waiting
            visit.give_up()
            if leaves:
                waiting.cancel()
            await asyncio.wait([waiting])
        assert ends == [True, False]
        assert (server.in_flight, server.waiting) == (0, set())

    run(story())

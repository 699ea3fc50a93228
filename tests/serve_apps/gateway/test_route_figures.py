"""What is counted of requests by route, backend and organization, and that no number of names makes it large."""

from __future__ import annotations

import asyncio
import json
from time import perf_counter

from control.route_traffic import (
    MOST_CODES,
    MOST_PAIRS,
    MOST_SHARES,
    OTHER,
    Counts,
    Outcome,
    Pair,
    Share,
    Standing,
    parse,
)
from serve_apps.gateway.dialects.usage import Usage
from serve_apps.gateway.record import Record
from serve_apps.gateway.route_figures import RouteFigures
from tests.serve_apps.gateway.test_backends import ask, backend, cut, publish, refusing, routed
from tests.serve_apps.gateway.test_limits import PRICE, counted, limit, set_up, stream
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, World, answer_events, chat_body


def record(route: str = "chat", backend: str = "openai/gpt-4o", organization: str = "lab") -> Record:
    return Record(
        at=1000.0,
        took_s=0.4,
        first_s=0.05,
        request_id="r1",
        path=CHAT,
        key="alice",
        organization=organization,
        route=route,
        asked="gpt-4o",
        backend=backend,
        status=200,
        outcome=Outcome.OK,
        code="",
        attempts=(),
        usage=Usage(10, 4, 0, 5, 0),
        cost=7,
        hit="",
        saved=0,
        received=100,
        sent=200,
    )


async def shares_of(it: World, requests: int) -> dict[str, Counts]:
    """By backend, once so many requests were written down."""
    while sum(one.requests for one in it.published.routes.times.values()) < requests:
        await asyncio.sleep(0.01)
    return {share.backend: counts for share, counts in it.published.routes.shares.items()}


def test_a_request_is_counted_where_it_was_answered_with_its_tokens_and_its_cost() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url)
            assert (await ask(it))[0] == 200
            await stream(it)
            await shares_of(it, 2)
            found = it.published.routes
            share = Share("any", "openai/openai-model", "default")
            spent = 2 * (100 * PRICE[0] + 20 * PRICE[3])
            assert found.shares == {share: Counts(ok=2, prompt=200, completion=40, cost=spent)}
            times = found.times[Pair("any", "openai/openai-model")]
            assert (sum(times.latency_ms.values()), sum(times.ttft_ms.values())) == (2, 1), "one was a stream"
            assert found.standings == (Standing("any", "openai/openai-model", "healthy", ""),)

    run(story())


def test_each_way_to_end_is_told_apart() -> None:
    async def story() -> None:
        async with routed(refusing(500), refusing(400)) as (it, (down, picky)):
            await publish(it, backend("openai", down.url), retries=0)
            assert (await ask(it))[0] == 503
            await publish(it, backend("anthropic", picky.url, file="nowhere"), retries=0)
            assert (await ask(it))[0] == 503
            await publish(it, backend("openai", picky.url), retries=0)
            assert (await ask(it))[0] == 400
            found = await shares_of(it, 3)
            assert found["openai/openai-model"] == Counts(server_error=1, client_error=1)
            assert found["anthropic/anthropic-model"].server_error == 1

    run(story())


def test_a_stream_that_broke_off_is_cut_and_one_whose_client_left_is_no_error() -> None:
    async def story() -> None:
        async with routed(cut, answer_events) as (it, (broken, slow)):
            await publish(it, backend("openai", broken.url), retries=0)
            await stream(it)
            assert (await shares_of(it, 1))["openai/openai-model"].cut == 1
            await publish(it, backend("local-vllm", slow.url))
            async with it.client.post(CHAT, json=chat_body(model="gpt", stream=True)) as response:
                await response.content.readuntil(b"\n\n")
                response.close()
            assert (await shares_of(it, 2))["local-vllm/local-vllm-model"].client_left == 1
            assert it.published.routes.times[Pair("any", "local-vllm/local-vllm-model")].errors == 0

    run(story())


def test_who_is_refused_for_a_limit_or_a_budget_is_counted_at_no_backend() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await set_up(it, one.url, limit(requests_per_minute=1))
            assert [(await ask(it))[0] for _ in range(2)] == [200, 429]
            assert (await shares_of(it, 2))[""] == Counts(rate_limited=1)
            await set_up(it, one.url, limit(cost_per_day=1))
            assert (await ask(it))[0] == 429
            assert (await shares_of(it, 3))[""] == Counts(rate_limited=1, over_budget=1)

    run(story())


def test_a_model_that_only_the_client_made_up_names_nothing() -> None:
    async def story() -> None:
        async with routed(counted) as (it, (one,)):
            await publish(it, backend("openai", one.url), model="gpt")
            async with it.client.post(CHAT, json=chat_body(model="made-up")) as response:
                assert response.status == 404
            assert await shares_of(it, 1) == {"": Counts(client_error=1)}

    run(story())


def test_who_falls_back_is_counted_where_it_was_answered() -> None:
    async def story() -> None:
        async with routed(refusing(500), counted) as (it, _):
            status, _, _ = await ask(it)
            assert status == 200
            found = await shares_of(it, 1)
            assert [(one.ok, one.fallbacks) for one in found.values()] == [(1, 1)]

    run(story())


def test_errors_are_counted_by_code_also_of_what_has_no_good_key_or_body() -> None:
    async def story() -> None:
        async with routed(refusing(500)) as (it, _):
            async with it.client.post(CHAT, data=b"{", headers={"Authorization": "Bearer nobody"}) as response:
                assert response.status == 401
            async with it.client.post(CHAT, data=b"{") as response:
                assert response.status == 400
            assert (await ask(it))[0] == 503
            assert (await shares_of(it, 2))[""].client_error == 1, "of the good key"
            assert it.published.routes.errors == {"invalid_api_key": 1, "invalid_json": 1, "model_unavailable": 1}

    run(story())


def test_codes_that_providers_make_up_are_not_told_apart_without_end() -> None:
    figures = RouteFigures()
    for number in range(200):
        figures.error(f"code-{number}")
    found = parse(figures.body(())).errors
    assert len(found) == MOST_CODES + 1
    assert found[OTHER] == 200 - MOST_CODES


def test_hits_of_the_cache_are_counted_by_how_they_were_found() -> None:
    figures = RouteFigures()
    for hit in ("exact", "exact", "semantic"):
        figures.count(record()._replace(hit=hit, cost=0, saved=9))
    (counts,) = parse(figures.body(())).shares.values()
    assert (counts.exact, counts.semantic, counts.saved, counts.cost, counts.ok) == (2, 1, 27, 0, 3)


def test_no_number_of_names_makes_the_heartbeat_large_and_nothing_is_lost() -> None:
    figures = RouteFigures()
    for index in range(100):
        for member in range(20):
            figures.count(record(f"r{index}", "openai/gpt-4o", f"org-{member}"))
    for index in range(1000):
        figures.count(record("r0", "openai/gpt-4o", f"late-{index}"))
    body = figures.body([Standing(f"r{n}", "openai/gpt-4o", "healthy", "") for n in range(1000)])
    found = parse(json.loads(json.dumps(body)))
    assert len(json.dumps(body)) < 128 * 1024
    assert len(found.times) == MOST_PAIRS + 1
    assert len(found.shares) <= MOST_SHARES + MOST_PAIRS + 1
    assert len(found.standings) == MOST_PAIRS
    assert sum(one.ok for one in found.shares.values()) == sum(one.requests for one in found.times.values()) == 3000
    assert found.times[Pair(OTHER, OTHER)].requests == 20 * (100 - MOST_PAIRS)
    assert found.shares[Share("r0", "openai/gpt-4o", OTHER)].ok == 1000


def test_to_count_a_request_takes_microseconds() -> None:
    figures, one = RouteFigures(), record()
    began = perf_counter()
    for _ in range(2000):
        figures.count(one)
    assert (perf_counter() - began) / 2000 < 50e-6, "about 3 on a machine with nothing else to do"

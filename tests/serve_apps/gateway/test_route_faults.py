"""Backends that cannot be reached, that fail once or all together, and what a route makes of it."""

import asyncio
import json
from time import perf_counter

import pytest

from tests.serve_apps.gateway.fault_cases import SILENT, says
from tests.serve_apps.gateway.scripted import ANTHROPIC, OPENAI, Script, Scripted, Talk, head, response, scripted, well
from tests.serve_apps.gateway.test_backends import backend
from tests.serve_apps.gateway.test_faults import ask, asking, at, gateway, publish, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, COMPLETIONS, EMBEDDINGS, free_port


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


FAILING = says(response(500, OPENAI.error("server_error", "server_error")))


def once(first: Script, then: Script) -> Script:
    """`first` on the first connection, `then` on all others."""
    scripts = [first]

    async def script(talk: Talk) -> None:
        await (scripts.pop() if scripts else then)(talk)

    return script


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:{free_port()}", "http://no-such-host.invalid", "http://a..b", f"http://{'x' * 64}.invalid"],
    ids=["refused", "no such name", "an empty label", "a label too long"],
)
def test_a_backend_that_cannot_be_reached_is_told_as_such_and_another_one_answers(url: str) -> None:
    async def story() -> None:
        async with gateway() as it, scripted(well(OPENAI)) as two:
            dead = backend("openai", url, env="ONE")
            await publish(it, route(CHAT, "one", dead), route(CHAT, "two", dead, {**at(OPENAI, two), "weight": 0}))
            began = perf_counter()
            status, body, headers = await ask(it, CHAT, False, "one")
            assert (status, headers["x-biplane-attempts"]) == (503, "openai/openai-model unreached")
            assert json.loads(body)["error"]["code"] == "model_unavailable"
            assert perf_counter() - began < SILENT
            assert (await ask(it, CHAT, False, "two"))[0] == 200

    run(story())


def test_what_listens_but_never_ends_its_handshake_is_given_up() -> None:
    async def hang(talk: Talk) -> None:
        await talk.hang()

    async def story() -> None:
        async with gateway() as it, scripted(hang) as one:
            one.url = one.url.replace("http:", "https:")
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            began = perf_counter()
            assert (await ask(it, CHAT, False))[0] == 503
            assert perf_counter() - began < SILENT
            await one.until_left()

    run(story())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_backend_that_fails_once_is_asked_again_and_the_client_sees_its_answer(streamed: bool) -> None:
    async def story() -> None:
        async with gateway() as it, scripted(once(FAILING, well(OPENAI))) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=1))
            status, body, headers = await ask(it, CHAT, streamed)
            assert status == 200
            assert b"Hello" in body
            assert headers["x-biplane-attempts"] == "openai/openai-model answered 500"
            assert one.asked == 2

    run(story())


def test_when_all_backends_are_down_the_client_is_told_so_with_all_that_was_tried() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(FAILING) as one, scripted(FAILING) as two:
            gone = Scripted(FAILING, f"http://127.0.0.1:{free_port()}")
            backends = [at(OPENAI, one), {**at(ANTHROPIC, two), "weight": 0}, {**at(OPENAI, gone), "weight": 0}]
            await publish(it, route(CHAT, "any", *backends))
            status, body, headers = await ask(it, CHAT, True)
            assert (status, json.loads(body)["error"]["code"]) == (503, "model_unavailable")
            tried = headers["x-biplane-attempts"].split("; ")
            assert sorted(one.rpartition(" ")[2] for one in tried) == ["500", "500", "unreached"]

    run(story())


def test_a_retry_after_is_handed_to_the_client() -> None:
    async def story() -> None:
        busy = says(response(429, OPENAI.error("rate_limit_exceeded", "rate_limit_error"), retry_after="6.5"))
        async with gateway() as it, scripted(busy) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=2))
            status, body, headers = await ask(it, CHAT, False)
            assert (status, headers["retry-after"], json.loads(body)["error"]["type"]) == (429, "7", "rate_limit_error")
            assert one.asked == 1
            status, _, headers = await ask(it, CHAT, False)
            assert (status, headers["retry-after"] in ("6", "7"), one.asked) == (503, True, 1)

    run(story())


def test_a_full_pool_is_told_as_that_and_not_as_an_answer_of_the_backend() -> None:
    async def slow(talk: Talk) -> None:
        await talk.request()
        await talk.send(head(), OPENAI.before, OPENAI.first)
        while True:
            await asyncio.sleep(0.02)
            await talk.send(b": wait\n\n")

    async def story() -> None:
        async with gateway() as it, scripted(slow) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), timeout_s=0.1, retries=0))
            async with it.client.post(CHAT, json=asking(True)) as answer:
                await answer.content.readany()
                for status, _, headers in await asyncio.gather(*(ask(it, CHAT, False) for _ in range(2))):
                    full = "openai/openai-model not asked: all 1 connections to it are in use"
                    assert (status, headers["x-biplane-attempts"]) == (503, full)

    run(story())


def test_a_request_that_one_backend_s_api_cannot_say_is_answered_by_another_one() -> None:
    async def story() -> None:
        embedded = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        async with (
            gateway() as it,
            scripted(well(ANTHROPIC)) as one,
            scripted(says(response(200, embedded))) as two,
        ):
            await publish(it, route(EMBEDDINGS, "any", at(ANTHROPIC, one), {**at(OPENAI, two), "weight": 0}))
            async with it.client.post(EMBEDDINGS, json={"model": "any", "input": "hi"}) as answer:
                assert answer.status == 200
                passed = "anthropic/anthropic-model cannot say it: anthropic has no embeddings."
                assert answer.headers["x-biplane-attempts"] == passed
            await publish(it, route(EMBEDDINGS, "any", at(ANTHROPIC, one)))
            async with it.client.post(EMBEDDINGS, json={"model": "any", "input": "hi"}) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported")
            assert one.asked == 0

    run(story())


def test_a_request_that_the_only_backend_cannot_say_that_is_well_is_no_fault_of_the_client_s() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(well(ANTHROPIC)) as one, scripted(FAILING) as two:
            failing = {**at(OPENAI, two), "weight": 0}
            await publish(it, route(EMBEDDINGS, "any", at(ANTHROPIC, one), failing))
            told = ""
            while "breaker open" not in told:
                async with it.client.post(EMBEDDINGS, json={"model": "any", "input": "hi"}) as answer:
                    assert answer.status == 503
                    told = answer.headers["x-biplane-attempts"]

    run(story())


@pytest.mark.parametrize("streamed", [False, True])
def test_an_account_without_money_is_no_matter_of_waiting_and_another_backend_answers(streamed: bool) -> None:
    asked = 0

    async def empty(talk: Talk) -> None:
        nonlocal asked
        while await talk.request():
            asked += 1
            error = OPENAI.error("insufficient_quota", "insufficient_quota")
            await talk.send(response(429, error, retry_after="1"))

    async def story() -> None:
        async with gateway() as it, scripted(empty) as one, scripted(well(ANTHROPIC)) as two:
            follows = {**at(ANTHROPIC, two), "weight": 0}
            alone = route(CHAT, "alone", at(OPENAI, one), retries=2)
            await publish(it, alone, route(CHAT, "two", at(OPENAI, one), follows))
            status, body, _ = await ask(it, CHAT, streamed, "alone")
            told = json.loads(body)["error"]
            assert (status, told["code"], asked) == (503, "model_unavailable", 1), "it is not asked again"
            assert "our account there has no money left" in told["message"]
            assert (await ask(it, CHAT, streamed, "two"))[0] == 200
            assert asked == 2, "nor is it left alone as one that is busy"

    run(story())


def test_a_completion_of_text_reaches_a_backend_of_openai_s_dialect_as_it_is() -> None:
    async def story() -> None:
        asked: list[bytes] = []

        async def complete(talk: Talk) -> None:
            asked.append(await talk.request())
            await talk.send(response(200, {"object": "text_completion", "choices": [{"text": "Hello"}]}))

        async with gateway() as it, scripted(complete) as one:
            await publish(it, route(COMPLETIONS, "any", at(OPENAI, one)))
            async with it.client.post(COMPLETIONS, json={"model": "any", "prompt": "hi", "top_k": 3}) as answer:
                assert (answer.status, (await answer.json())["choices"][0]["text"]) == (200, "Hello")
            assert json.loads(asked[0]) == {"model": "openai-model", "prompt": "hi", "top_k": 3}

    run(story())


def test_an_answer_that_never_ends_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_apps.gateway.wire.MOST_HELD", 1 << 20)

    async def endless(talk: Talk) -> None:
        await talk.request()
        await talk.send(head(content_type="application/json"))
        while True:
            await talk.send(b" " * (1 << 16))

    async def story() -> None:
        async with gateway() as it, scripted(endless) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            status, body, _ = await ask(it, CHAT, False)
            assert (status, json.loads(body)["error"]["code"]) == (503, "model_unavailable")
            await one.until_left()

    run(story())

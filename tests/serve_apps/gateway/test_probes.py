"""Backends that nobody asks are probed, and what that tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import OPEN_AFTER
from serve_apps.gateway.errors import ApiError, Failure
from serve_apps.gateway.probes import Probing, is_due
from tests.serve_apps.gateway.scripted import ANTHROPIC, OPENAI, Dialect, Talk, response, scripted
from tests.serve_apps.gateway.test_backends import backend
from tests.serve_apps.gateway.test_faults import ask, at, publish, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, World, answer_json, world

PROBING = Probing(ill_s=5, idle_s=30)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


@asynccontextmanager
async def probing() -> AsyncIterator[World]:
    async with world(answer_json, probing=Probing(ill_s=0.01, idle_s=0.02, timeout_s=0.1)) as it:
        yield it


class Provider:
    """Answers probes with `status` and requests with `Hello there`, or while it is `down` breaks off. `heads` are those
    of the probes, `requests` how many others there were.
    """

    def __init__(self, api: Dialect, *, down: bool = False) -> None:
        self.api, self.down, self.status = api, down, 200
        self.heads: list[bytes] = []
        self.requests = 0

    async def script(self, talk: Talk) -> None:
        while True:
            head = await talk.reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                self.heads.append(head)
            else:
                self.requests += 1
                await talk.reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if self.down:
                return talk.reset()
            await talk.send(response(self.status, {}) if head.startswith(b"GET") else response(200, self.api.whole))

    async def probed(self, times: int) -> None:
        """Returns when it was probed so many times more."""
        done = len(self.heads) + times
        while len(self.heads) < done:
            await asyncio.sleep(0.005)


def one() -> Backend:
    return Backend("openai/gpt", "openai", "gpt")


def test_who_was_never_heard_of_is_probed_as_soon_as_one_that_is_ill() -> None:
    assert not is_due(one(), 100.0, 0.0, 104.9, PROBING)
    assert is_due(one(), 100.0, 0.0, 105.0, PROBING)
    assert is_due(one(), 100.0, 1.0, 103.75, PROBING), "some come a quarter sooner"


def test_one_that_is_well_is_probed_when_it_had_no_requests_for_a_while() -> None:
    idle = one()
    idle.answered(0, 100.0, 5.0)
    assert not is_due(idle, 0.0, 0.0, 129.0, PROBING)
    assert is_due(idle, 0.0, 0.0, 130.0, PROBING)
    assert not is_due(idle, 110.0, 0.0, 139.0, PROBING)


def test_one_that_is_ill_or_missed_a_probe_is_probed_however_lately_it_was_asked() -> None:
    missing, failing = one(), one()
    missing.probed("it is away", 100.0, 0.0)
    for _ in range(5):
        failing.failed(0, Fault(Failure.UNREACHED, ApiError(503, "", "")), 100.0, 0.0)
    for backend_ in (missing, failing):
        assert is_due(backend_, 100.0, 0.0, 105.0, PROBING)
        assert not is_due(backend_, 104.0, 0.0, 105.0, PROBING)


def test_a_dead_backend_is_known_before_its_first_request() -> None:
    async def story() -> None:
        dead, well = Provider(OPENAI, down=True), Provider(ANTHROPIC)
        async with probing() as it, scripted(dead.script) as one, scripted(well.script) as two:
            await publish(it, route(CHAT, "any", at(OPENAI, one), {**at(ANTHROPIC, two), "weight": 0}))
            await dead.probed(OPEN_AFTER + 1)
            status, _, headers = await ask(it, CHAT, False)
            assert (status, dead.requests, well.requests) == (200, 0, 1)
            assert "breaker open" in headers["x-biplane-attempts"]
            assert "a probe did not reach it" in headers["x-biplane-attempts"]

    run(story())


def test_an_open_breaker_closes_as_soon_as_a_probe_is_answered_again() -> None:
    async def story() -> None:
        it_fails = Provider(OPENAI, down=True)
        async with probing() as it, scripted(it_fails.script) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            await it_fails.probed(OPEN_AFTER + 1)
            assert (await ask(it, CHAT, False))[0] == 503
            it_fails.down = False
            await it_fails.probed(2)
            assert (await ask(it, CHAT, False))[0] == 200, "the breaker would have been open for some seconds more"

    run(story())


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_provider_that_has_no_models_for_our_key_is_there_all_the_same(status: int) -> None:
    async def story() -> None:
        provider = Provider(OPENAI)
        provider.status = status
        async with probing() as it, scripted(provider.script) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            await provider.probed(OPEN_AFTER + 1)
            assert (await ask(it, CHAT, False))[0] == 200

    run(story())


def test_probes_carry_the_key_in_each_dialect_and_ask_nobody_else() -> None:
    async def story() -> None:
        asked, other, unused = Provider(OPENAI), Provider(ANTHROPIC), Provider(OPENAI)
        async with (
            probing() as it,
            scripted(asked.script) as one,
            scripted(other.script) as two,
            scripted(unused.script) as three,
        ):
            here = backend("local-vllm", "", 1)
            never = backend("local-vllm", three.url, 0)
            backends = (at(OPENAI, one), at(ANTHROPIC, two), here, never)
            await publish(it, route(CHAT, "any", *backends, chain=["openai"]))
            await asyncio.gather(asked.probed(2), other.probed(2))
            assert asked.heads[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
            assert b"\r\nauthorization: Bearer sk-one\r\n" in asked.heads[0]
            assert b"\r\nx-api-key: sk-one\r\nanthropic-version: " in other.heads[0]
            assert three.asked == 0

    run(story())

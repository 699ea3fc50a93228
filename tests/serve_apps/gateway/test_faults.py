"""What a client sees of all that can go wrong at a backend, and when; and that the gateway is unharmed by it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pytest

from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.fault_cases import ALWAYS, SILENCE_SECONDS, STREAMED, WHOLE, Case
from tests.serve_apps.gateway.scripted import ANTHROPIC, DIALECTS, OPENAI, Dialect, Scripted, scripted, well
from tests.serve_apps.gateway.test_backends import backend
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, MESSAGES, World, answer_json, world

WAYS = [(path, dialect) for path in (CHAT, MESSAGES) for dialect in DIALECTS.values()]
"""A client's API and a backend's: all four ways of an answer through the gateway."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


@asynccontextmanager
async def gateway(total_s: float = 6) -> AsyncIterator[World]:
    """Afterwards no task is left over of what was done in it."""
    async with world(answer_json, Timeouts(total_s=total_s)) as it:
        await it.read_again()
        before = asyncio.all_tasks()
        yield it
        async with asyncio.timeout(1):
            while left := [task for task in asyncio.all_tasks() - before if not _passing(task)]:
                await asyncio.sleep(0.01)
        assert not left


def _passing(task: asyncio.Task[Any]) -> bool:
    """Whether it is the gateway's own look at the store, which comes and goes."""
    return "to_thread" in repr(task.get_coro())


@dataclass(frozen=True)
class Way:
    """A client's API, a backend's, and two backends with the fault: one alone and one that another follows."""

    path: str
    api: Dialect
    alone: Scripted
    first: Scripted
    second: Scripted

    def routes(self) -> list[dict[str, Any]]:
        follows = {**at(OPENAI, self.second), "weight": 0}
        return [
            route(self.path, f"{self.api.name}-alone", at(self.api, self.alone)),
            route(self.path, f"{self.api.name}-two", at(self.api, self.first), follows),
        ]


def at(api: Dialect, made: Scripted) -> dict[str, Any]:
    return backend(api.name, made.url, env="ONE")


def name_of(path: str, model: str) -> str:
    return f"{model}{path.replace('/', '-')}"


def route(path: str, model: str, *backends: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With as many attempts as backends, and one connection to each."""
    told = {
        "name": name_of(path, model),
        "path": path,
        "model": model,
        "backends": list(backends),
        "chain": [],
        "triggers": [],
    }
    limits = {"pool_size": 1, "timeout_s": SILENCE_SECONDS, "retries": len(backends) - 1, "streaming": True}
    return {**told, "chain": [], "triggers": [], **limits, **changes}


async def publish(it: World, *routes: dict[str, Any]) -> None:
    it.version += 1
    it.publish(version=it.version, routes=list(routes))
    await it.read_again()


def asking(streamed: bool, model: str = "any") -> dict[str, Any]:
    return {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": streamed}


async def ask(it: World, path: str, streamed: bool, model: str = "any") -> tuple[int, bytes, dict[str, str]]:
    async with it.client.post(path, json=asking(streamed, model)) as answer:
        return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def check_seen(case: Case, path: str, streamed: bool, status: int, body: bytes) -> None:
    """What the client has seen is what the case says."""
    assert status == case.status, body
    text = body.decode()
    if not case.code:
        check_answered(path, streamed, body)
    elif status != 200:
        told = json.loads(text)
        assert told["error"]["message"]
        if path == CHAT:
            assert case.code in told["error"]["code"]
        else:
            assert told["type"] == "error"
    else:
        last = text.rstrip().rpartition("\n\n")[2]
        assert '"error"' in last, text[-500:]
        assert "[DONE]" not in text
        assert "message_stop" not in text
        assert "Hello" in text


def check_answered(path: str, streamed: bool, body: bytes) -> None:
    text = body.decode()
    assert "Hello" in text
    assert '"error"' not in text
    if streamed and "data:" in text:
        assert ("[DONE]" if path == CHAT else "message_stop") in text
    else:
        json.loads(text)


@pytest.mark.parametrize(
    ("streamed", "case"),
    [
        pytest.param(streamed, case, id=f"{'streamed' if streamed else 'whole'}-{case.name}")
        for streamed, cases in ((False, ALWAYS + WHOLE), (True, ALWAYS + STREAMED))
        for case in cases
    ],
)
def test_what_a_client_sees_of_a_fault_and_when(streamed: bool, case: Case) -> None:
    async def story() -> None:
        async with gateway() as it, AsyncExitStack() as stack:
            scripts = [(case.script(api), case.script(api), well(OPENAI)) for _, api in WAYS]
            made = [[await stack.enter_async_context(scripted(one)) for one in three] for three in scripts]
            ways = [Way(path, api, *three) for (path, api), three in zip(WAYS, made, strict=True)]
            await publish(it, *(told for way in ways for told in way.routes()))
            await asyncio.gather(*(check(it, way, streamed, case) for way in ways))

    run(story())


async def check_billed(it: World, case: Case, way: Way, streamed: bool) -> None:
    """Of the first request at the backend that is alone. OpenAI's stream here tells no usage: it is estimated."""
    name = name_of(way.path, f"{way.api.name}-alone")
    async with asyncio.timeout(5):
        while not (found := [n for report in it.published.reports for who, n in report.usage if who.route == name]):
            await asyncio.sleep(0.01)
    (counts,) = found
    assert (counts.requests, counts.errors) == (1, int(case.billed != "all"))
    if case.billed == "nothing":
        assert (counts.prompt, counts.completion) == (0, 0)
    elif case.billed == "all" and case.told and (way.api is ANTHROPIC or not streamed):
        assert (counts.prompt, counts.completion) == (7, 2)
    else:
        assert counts.prompt > 0
        assert counts.completion > 0 or case.name == "wrong usage"


async def check(it: World, way: Way, streamed: bool, case: Case) -> None:
    began = perf_counter()
    status, body, headers = await ask(it, way.path, streamed, f"{way.api.name}-alone")
    assert perf_counter() - began < case.within_s
    check_seen(case, way.path, streamed, status, body)
    await check_billed(it, case, way, streamed)
    if status != 200:
        assert headers["x-biplane-attempts"].startswith(f"{way.api.name}/")
    await way.alone.until_left()
    way.alone.script = well(way.api)
    status, body, _ = await ask(it, way.path, streamed, f"{way.api.name}-alone")
    assert status == (503 if case.busy else 200), "the pool has one place, which the fault gave back"

    status, body, _ = await ask(it, way.path, streamed, f"{way.api.name}-two")
    assert way.second.asked == (1 if case.falls_back and case.code else 0)
    if case.falls_back:
        assert status == 200
        check_answered(way.path, streamed, body)
    else:
        check_seen(case, way.path, streamed, status, body)

"""More requests than a replica works on: who waits, who goes first, and who is told to come again."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, MESSAGES, World, answer_json, chat_body, world

pytestmark = pytest.mark.usefixtures("_one_at_once")


@pytest.fixture
def _one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_apps.gateway.app.MOST_AT_ONCE", 1)
    monkeypatch.setattr("serve_apps.gateway.app.MOST_WAITING", 2)
    monkeypatch.setattr("serve_apps.gateway.generation.PATIENCE_SECONDS", 0.3)


class Gate:
    """An engine that answers when it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.users: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.users.append((await request.json())["user"])
        await self.open.wait()
        return await answer_json(request)


async def ask(it: World, user: str, key: str | None = None, path: str = CHAT) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with it.client.post(path, json=chat_body(user=user), headers=headers) as response:
        told = await response.json()
        if response.status == 503:
            assert response.headers["retry-after"] == "1"
        return response.status, told["error"].get("code", told["error"]["type"]) if "error" in told else ""


async def settled() -> None:
    await asyncio.sleep(0.05)


def test_a_high_key_goes_first_and_takes_the_last_place_in_the_queue_of_a_low_one() -> None:
    async def story() -> None:
        gate = Gate()
        async with world(gate.answer) as it:
            it.published.put_key("high", "bp-high", priority="high")
            it.published.put_key("low", "bp-low", priority="low")
            await it.read_again()
            asked = []
            for user, key in (("first", None), ("second", None), ("low", "bp-low"), ("high", "bp-high")):
                asked.append(asyncio.create_task(ask(it, user, key)))
                await settled()
            assert await asked[2] == (503, "overloaded")
            assert await ask(it, "last") == (503, "overloaded")
            assert gate.users == ["first"]
            gate.open.set()
            assert [(await one)[0] for one in (asked[0], asked[1], asked[3])] == [200] * 3
            assert gate.users == ["first", "high", "second"]

    run(story())


def test_who_waits_too_long_is_told_to_come_again_in_its_own_api() -> None:
    async def story() -> None:
        gate = Gate()
        async with world(gate.answer) as it:
            first = asyncio.create_task(ask(it, "first"))
            await settled()
            assert await ask(it, "second", path=MESSAGES) == (503, "overloaded_error")
            gate.open.set()
            assert (await first)[0] == 200
            assert (await ask(it, "third"))[0] == 200, "its place is free again"

    run(story())


def test_a_client_that_leaves_while_it_waits_gives_up_its_turn_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_apps.gateway.app.MOST_WAITING", 1)
    monkeypatch.setattr("serve_apps.gateway.generation.PATIENCE_SECONDS", 5)

    async def story() -> None:
        gate = Gate()
        async with world(gate.answer, logs=tmp_path) as it:
            first = asyncio.create_task(ask(it, "first"))
            await settled()
            leaving = asyncio.create_task(ask(it, "leaving"))
            await settled()
            assert await ask(it, "refused") == (503, "overloaded")
            leaving.cancel()
            await settled()
            following = asyncio.create_task(ask(it, "following"))
            await settled()
            assert not following.done(), "it waits in the place of the one that left"
            gate.open.set()
            assert [(await first)[0], (await following)[0]] == [200, 200]
            assert gate.users == ["first", "following"]

    run(story())
    (log,) = tmp_path.iterdir()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in told] == [503, 499, 200, 200]
    assert told[1]["outcome"] == told[1]["error"] == "client_left"
    assert told[1]["duration_ms"] < 1000


def test_the_body_of_who_waits_is_not_read() -> None:
    async def story() -> None:
        gate = Gate()
        async with world(gate.answer) as it:
            it.publish(version=2, max_body_bytes=64 << 20)
            await it.read_again()
            first = asyncio.create_task(ask(it, "first"))
            await settled()
            sent = 0

            async def body() -> AsyncIterator[bytes]:
                nonlocal sent
                raw = json.dumps(chat_body(user="large", padding="x" * (32 << 20))).encode()
                for at in range(0, len(raw), 1 << 16):
                    yield raw[at : at + (1 << 16)]
                    sent += 1 << 16

            async with it.client.post(CHAT, data=body()) as response:
                assert response.status == 503
                assert sent < 16 << 20, "what the kernel and the server hold, and no more"
            gate.open.set()
            assert (await first)[0] == 200

    run(story())

"""A client that leaves takes its request back from the backend at once, whatever stage it was at; one that does not
read holds up nobody for longer than its request may take.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.serve_apps.gateway.fault_cases import says, stream
from tests.serve_apps.gateway.scripted import OPENAI, Script, Talk, head, response, scripted, well
from tests.serve_apps.gateway.test_faults import ask, asking, at, gateway, publish, route
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.upstream import CHAT, KEY, World

CANCELLED_SECONDS = 0.1
"""From a client's leaving to the end of the connection to the backend, at the most."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "sk-one")


@dataclass
class Client:
    """One request at the level of bytes, of which only `sent` bytes were sent where that is not all of it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def asks(cls, it: World, sent: int | None = None) -> "Client":
        body = json.dumps(asking(streamed=True)).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port, limit=1 << 12)
        writer.write((head.encode() + body)[:sent])
        return cls(reader, writer)

    def leave(self) -> float:
        """When it left, on the loop's clock."""
        self.writer.transport.abort()
        return asyncio.get_running_loop().time()


async def _asked(_: Client) -> None:
    await asyncio.sleep(0.05)


async def _reads_a_word(client: Client) -> None:
    await client.reader.readuntil(b"Hello")


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (says(then_hang=True), _asked),
        (says(head()[:9], then_hang=True), _asked),
        (stream(then_hang=True), _asked),
        (stream(OPENAI.before, then_hang=True), _asked),
        (stream(OPENAI.before, OPENAI.first, then_hang=True), _reads_a_word),
        (stream(OPENAI.before, OPENAI.first * 20_000, then_hang=True), _reads_a_word),
    ],
    ids=["before the answer", "within the head", "after the head", "before content", "mid-stream", "unread bytes"],
)
def test_the_backend_is_left_at_once_at_every_stage(script: Script, stage: Callable[[Client], Awaitable[None]]) -> None:
    async def story() -> None:
        async with gateway() as it, scripted(script) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), timeout_s=5))
            client = await Client.asks(it)
            await stage(client)
            left = client.leave()
            assert await one.until_left() - left < CANCELLED_SECONDS
            one.script = well(OPENAI)
            assert (await ask(it, CHAT, True))[0] == 200, "its place in the pool is free again"

    run(story())


def test_a_client_that_leaves_during_a_handshake_ends_it() -> None:
    async def hang(talk: Talk) -> None:
        await talk.hang()

    async def story() -> None:
        async with gateway() as it, scripted(hang) as one:
            one.url = one.url.replace("http:", "https:")
            await publish(it, route(CHAT, "any", at(OPENAI, one), timeout_s=5))
            client = await Client.asks(it)
            await _asked(client)
            left = client.leave()
            assert await one.until_left() - left < CANCELLED_SECONDS

    run(story())


def test_a_client_that_leaves_before_its_request_is_whole_has_asked_nobody() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(well(OPENAI)) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            client = await Client.asks(it, sent=150)
            await _asked(client)
            client.leave()
            await _asked(client)
            assert one.asked == 0

    run(story())


def test_a_client_that_leaves_while_it_waits_for_the_pool_gives_up_its_turn() -> None:
    async def story() -> None:
        async with gateway() as it, scripted(says(then_hang=True)) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), timeout_s=5))
            first = await Client.asks(it)
            await _asked(first)
            waiting = await Client.asks(it)
            await _asked(waiting)
            waiting.leave()
            await _asked(waiting)
            first.leave()
            await one.until_left()
            one.script = well(OPENAI)
            assert (await ask(it, CHAT, True))[0] == 200
            assert one.asked == 2

    run(story())


def test_a_client_that_leaves_between_two_attempts_is_asked_for_no_more() -> None:
    async def story() -> None:
        failing = says(response(500, OPENAI.error("server_error", "server_error")))
        async with gateway() as it, scripted(failing) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), retries=3))
            client = await Client.asks(it)
            await one.until_left()
            client.leave()
            await asyncio.sleep(0.25)
            assert one.asked == 1

    run(story())


def test_a_client_that_does_not_read_holds_little_and_not_for_longer_than_a_request_may_take() -> None:
    sent = 0

    async def endless(talk: Talk) -> None:
        nonlocal sent
        await talk.request()
        await talk.send(head(), OPENAI.before)
        while True:
            await talk.send(OPENAI.first * 100)
            sent += 100 * len(OPENAI.first)

    async def story() -> None:
        async with gateway(total_s=0.5) as it, scripted(endless) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one)))
            client = await Client.asks(it)
            await asyncio.sleep(0.4)
            before = sent
            await asyncio.sleep(0.05)
            assert sent == before, "nothing is read of the backend that the client does not take"
            assert sent < 16 << 20
            await one.until_left()
            one.script = well(OPENAI)
            assert (await ask(it, CHAT, True))[0] == 200
            client.leave()

    run(story())


def test_however_many_leave_or_fail_no_socket_stays_open() -> None:
    async def story() -> None:
        scripts = [says(then_hang=True), says(head()[:9]), stream(OPENAI.before, OPENAI.first, then_reset=True)]
        async with gateway() as it, scripted(scripts[0]) as one:
            await publish(it, route(CHAT, "any", at(OPENAI, one), pool_size=9))
            await it.read_again()
            before = len(os.listdir("/proc/self/fd"))
            for script in scripts:
                one.script = script
                clients = [await Client.asks(it) for _ in range(9)]
                await _asked(clients[0])
                for client in clients:
                    client.leave()
                await one.until_left()
            await _asked(clients[0])
            assert len(os.listdir("/proc/self/fd")) <= before

    run(story())

"""The replica's own HTTP server: it answers on a free port, and ends only when its requests have ended."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from serve_apps.http_server import ReplicaServer, WithoutLifespan
from tests.serve_apps.gateway.upstream import free_port

HOST = "127.0.0.1"


class Slow:
    """Answers in two parts, the second after `go`; notes the events of its lifespan, the first of which may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.go = asyncio.Event()
        self.life: list[str] = []
        self._fails = fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                event = (await receive())["type"]
                self.life.append(event)
                await send({"type": f"{event}.failed" if self._fails else f"{event}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await self.go.wait()
        await send({"type": "http.response.body", "body": b"two"})


def test_a_stream_is_not_cut_when_the_replica_ends_and_nobody_new_gets_in() -> None:
    async def story() -> None:
        app = Slow()
        server = ReplicaServer(app, HOST)
        await server.start()
        async with httpx.AsyncClient(base_url=server.url) as client:
            async with client.stream("GET", "/") as answer:
                parts = answer.aiter_raw()
                assert await anext(parts) == b"one "
                closing = asyncio.create_task(server.close())
                await asyncio.sleep(0.3)
                assert not closing.done()
                assert app.life == ["lifespan.startup"]
                async with httpx.AsyncClient() as newcomer:
                    with pytest.raises(httpx.ConnectError):
                        await newcomer.get(server.url)
                app.go.set()
                assert b"".join([part async for part in parts]) == b"two"
            await asyncio.wait_for(closing, 5)
        assert app.life == ["lifespan.startup", "lifespan.shutdown"]

    asyncio.run(story())


def test_two_replicas_share_a_port_and_the_one_that_ends_leaves_it_to_the_other() -> None:
    async def story() -> None:
        app = Slow()
        app.go.set()
        first = ReplicaServer(app, HOST, free_port())
        second = ReplicaServer(app, HOST, int(first.url.rpartition(":")[2]))
        await first.start()
        await second.start()
        assert first.url == second.url
        await first.close()
        assert (first.ended, second.ended) == (True, False)
        for _ in range(20):  # the kernel would give some of them to the first, if it still listened
            async with httpx.AsyncClient() as client:
                assert (await client.get(second.url)).text == "one two"
        await second.close()

    asyncio.run(story())


def test_a_port_that_another_program_has_is_not_shared_with_it() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            ReplicaServer(Slow(), HOST, other.getsockname()[1])


def test_signals_stay_with_their_owner() -> None:
    async def story() -> None:
        before = signal.getsignal(signal.SIGTERM)
        server = ReplicaServer(Slow(), HOST)
        await server.start()
        assert signal.getsignal(signal.SIGTERM) is before
        await server.close()

    asyncio.run(story())


def test_an_application_that_cannot_begin_is_an_error_and_not_the_end_of_the_process() -> None:
    async def story() -> None:
        with pytest.raises(RuntimeError, match="its lifespan failed"):
            await ReplicaServer(Slow(fails=True), HOST).start()

    asyncio.run(story())


def test_what_serve_is_given_begins_and_ends_without_the_application() -> None:
    async def story() -> list[str]:
        app, said = Slow(), []
        events = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> dict[str, str]:
            return {"type": next(events)}

        async def send(message: dict[str, str]) -> None:
            said.append(message["type"])

        await WithoutLifespan(app)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
        assert app.life == []
        return said

    assert asyncio.run(story()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

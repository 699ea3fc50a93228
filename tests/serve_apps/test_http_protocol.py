"""HTTP/1.1 as a replica's server speaks it, packet by packet: bounds of heads, offers of upgrades, trailers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.gateway.app import Gateway
from serve_apps.http_protocol import JoinedWrites
from serve_apps.http_server import ReplicaServer
from tests.serve_apps.gateway.upstream import CHAT, INTERNAL_KEY, KEY, Published, QuickServer, table

BODY = b'{"model": "tiny", "messages": []}'
SIZED = b"content-length: %d\r\n" % len(BODY)
CHUNKS = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
OFFERS = {
    "nothing": b"",
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "HTTP/2, loudly": b"CONNECTION: UPGRADE\r\nUPGRADE: H2C\r\n",
    "a websocket": b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
}
LONGEST_HEAD = 1 << 16


class Echo:
    """Answers with the body that came, and remembers the headers."""

    def __init__(self) -> None:
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        body = await Request(scope, receive).body()
        self.headers.append(dict(scope["headers"]))
        await Response(body)(scope, receive, send)


class Sent(asyncio.Transport):
    """A connection: `packets` is what was written to it, each in its own."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.packets.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class QuickReplicaServer(QuickServer, ReplicaServer):
    async def close(self) -> None:
        self.ending.set()
        await self._serving


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    server = QuickReplicaServer(app, "127.0.0.1")
    await server.start()
    try:
        yield int(server.url.rpartition(":")[2])
    finally:
        await server.close()


async def told(port: int, *packets: bytes) -> bytes:
    """All that is answered until the server closes the connection, which it has to do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = asyncio.ensure_future(reader.read())
    try:
        for packet in packets:
            if answers.done():
                break
            writer.write(packet)
            for _ in range(5):  # turns of the loop, in which the server reads the one before the next one comes
                await asyncio.sleep(0.004)
        return await asyncio.wait_for(answers, 3)
    finally:
        writer.close()


def post(headers: bytes, path: str = "/") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (path.encode(), headers)


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "the body later"])
def test_an_offer_to_upgrade_is_answered_as_if_it_was_not_there(offer: str, together: bool) -> None:
    async def story() -> None:
        async with listening(echo := Echo()) as port:
            asked = post(OFFERS[offer] + SIZED)
            answers = await told(port, *([asked + BODY] if together else [asked, BODY]), LAST)
            assert statuses(answers) == [200, 200]
            assert answers.count(BODY) == 1
            assert len(echo.headers) == 2
            assert b"upgrade" not in echo.headers[0]

    asyncio.run(story())


def test_wherever_an_offer_to_upgrade_is_cut_its_body_is_never_taken_for_a_request() -> None:
    smuggled = b"GET /secret HTTP/1.1\r\nhost: x\r\n\r\n"
    asked = post(OFFERS["HTTP/2"] + b"content-length: %d\r\n" % len(smuggled))

    async def story() -> None:
        async with listening(Echo()) as port:
            packets = [(asked[:cut], asked[cut:], smuggled, LAST) for cut in range(1, len(asked))]
            answers = await asyncio.gather(*(told(port, *three) for three in packets))
            for cut, answer in enumerate(answers, 1):
                assert statuses(answer) in ([200, 200], [400]), (asked[:cut], answer)
                assert (smuggled in answer) == (statuses(answer) == [200, 200])
            in_its_name = asked.index(b"Upgrade: h2c") + 3
            assert b"Upgrades are not supported." in answers[in_its_name - 1]

    asyncio.run(story())


@pytest.mark.parametrize(
    "begun", [b"POST / HTTP/1.1\r\nhost: x\r\nx-a: ", b"GET /", post(SIZED) + BODY + b"GET /"], ids=repr
)
def test_a_head_without_an_end_is_refused_and_its_connection_closed(begun: bytes) -> None:
    async def story() -> None:
        async with listening(Echo()) as port:
            answers = await told(port, begun, b"a" * LONGEST_HEAD, b"a")
            assert statuses(answers)[-1] == 400
            assert b"longer than 65536 bytes" in answers

    asyncio.run(story())


def test_a_long_head_is_none_too_long_and_the_next_one_is_counted_anew() -> None:
    long = [post(SIZED + b"x-a: ")[:-2], b"a" * 40_000, b"\r\n\r\n" + BODY[:5], BODY[5:]]

    async def story() -> None:
        async with listening(Echo()) as port:
            answers = await told(port, *long, *long, LAST)
            assert statuses(answers) == [200, 200, 200]
            assert answers.count(BODY) == 2

    asyncio.run(story())


def test_a_body_may_be_longer_than_a_head() -> None:
    body = b"x" * 3 * LONGEST_HEAD

    async def story() -> None:
        async with listening(Echo()) as port:
            sized = post(b"content-length: %d\r\n" % len(body))
            chunks = [b"%x\r\n%b\r\n" % (len(body) // 3, body[: len(body) // 3])] * 3
            answers = await told(
                port, sized, body, post(b"transfer-encoding: chunked\r\n"), *chunks, b"0\r\n\r\n", LAST
            )
            assert statuses(answers) == [200, 200, 200]
            assert answers.count(body) == 2

    asyncio.run(story())


def test_a_trailer_without_an_end_is_refused_and_its_connection_closed() -> None:
    async def story() -> None:
        async with listening(Echo()) as port:
            begun = post(b"transfer-encoding: chunked\r\n") + CHUNKS + b"x-a: "
            assert statuses(await told(port, begun, b"a" * LONGEST_HEAD, b"a")) == [400]

    asyncio.run(story())


def test_what_comes_after_a_body_is_no_header() -> None:
    async def story() -> None:
        async with listening(echo := Echo()) as port:
            asked = post(b"transfer-encoding: chunked\r\nx-a: before\r\n") + CHUNKS
            answers = await told(port, asked + b"x-a: after\r\nx-b: 1\r\n\r\n", LAST)
            assert statuses(answers) == [200, 200]
            assert (echo.headers[0][b"x-a"], echo.headers[0].get(b"x-b")) == (b"before", None)

    asyncio.run(story())


def test_a_key_that_comes_after_the_body_opens_nothing() -> None:
    async def story() -> None:
        gateway = Gateway(Published(table("http://127.0.0.1:1")).doors(), INTERNAL_KEY)
        async with listening(gateway) as port:
            trailer = b"authorization: Bearer %b\r\n\r\n" % KEY.encode()
            asked = post(b"transfer-encoding: chunked\r\nconnection: close\r\n", CHAT) + CHUNKS
            assert statuses(await told(port, asked + trailer)) == [401]

    asyncio.run(story())


def test_what_is_written_in_one_turn_of_the_loop_goes_out_in_one_packet() -> None:
    async def story() -> None:
        joined = JoinedWrites(sent := Sent())
        for part in (b"head", b"body"):
            joined.write(part)
        await asyncio.sleep(0)
        joined.write(b"more")
        await asyncio.sleep(0)
        assert sent.packets == [b"headbody", b"more"]

    asyncio.run(story())


def test_a_connection_that_is_closed_in_the_same_turn_has_all_that_was_written_before() -> None:
    async def story() -> None:
        joined = JoinedWrites(sent := Sent())
        joined.write(b"last words")
        joined.close()
        await asyncio.sleep(0)
        assert (sent.packets, sent.closed) == ([b"last words"], True)

    asyncio.run(story())


def test_nothing_is_written_to_a_client_that_left_in_the_same_turn() -> None:
    async def story() -> None:
        joined = JoinedWrites(sent := Sent())
        joined.write(b"too late")
        sent.closed = True
        await asyncio.sleep(0)
        assert sent.packets == []

    asyncio.run(story())

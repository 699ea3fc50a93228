"""A connection to an engine, against a server that sends exactly the bytes of the test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest

from serve_apps.gateway.wire import MOST_UNREAD, Origin, Wire, Wires, locate
from tests.serve_apps.gateway.test_requests import run

ASKED = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\n"
TWO = OK + b"content-length: 2\r\n\r\nhi"


class Server(asyncio.Protocol):
    """Answers what it is asked with the next of `answers`, each one or more writes, None for the end."""

    def __init__(self, answers: list[list[bytes | None]], made: list["Server"]) -> None:
        self._answers = answers
        made.append(self)
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data == ASKED
        self._answering = asyncio.ensure_future(self._answer(self._answers.pop(0)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def _answer(self, parts: list[bytes | None]) -> None:
        for part in parts:
            if part is None:
                self.transport.close()
            else:
                self.transport.write(part)  # type: ignore[attr-defined]  # BaseTransport by its type
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def server(
    *answers: list[bytes | None],
) -> AsyncIterator[tuple[Callable[[], "asyncio.Future[Wire]"], list[Server], Wires]]:
    made: list[Server] = []
    remaining = list(answers)
    listening = await asyncio.get_running_loop().create_server(lambda: Server(remaining, made), "127.0.0.1", 0)
    origin = Origin("127.0.0.1", listening.sockets[0].getsockname()[1], False)
    wires = Wires()
    try:
        yield lambda: asyncio.ensure_future(wires.to(origin, 1.0)), made, wires
    finally:
        wires.close()
        listening.close()


async def ask(wire: Wire, silence_s: float = 1.0, total_s: float = 5.0) -> None:
    await wire.ask(ASKED, silence_s, asyncio.get_running_loop().time() + total_s)


async def rest(wire: Wire) -> bytes:
    parts = []
    while part := await wire.chunk():
        parts.append(part)
    return b"".join(parts)


WAYS_TO_END = {
    "a length": ([TWO], True),
    "chunks": ([OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nh\r\n", b"1\r\ni\r\n0\r\n\r\n"], True),
    "a head in pieces": ([TWO[:5], TWO[5:30], TWO[30:]], True),
    "the end of the connection": ([OK + b"\r\n", b"h", b"i", None], False),
    "the last answer of a connection": ([OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi"], False),
    "after a word to go on": ([b"HTTP/1.1 100 Continue\r\nx-early: 1\r\n\r\n", TWO], True),
}


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_an_answer_is_whole_however_its_end_is_told(way: str) -> None:
    parts, reusable = WAYS_TO_END[way]

    async def story() -> None:
        async with server(parts) as (connect, _, _):  # type: ignore[arg-type]  # lists are invariant
            wire = await connect()
            await ask(wire)
            assert wire.status == 200
            assert b"x-early" not in dict(wire.headers)
            assert await rest(wire) == b"hi"
            assert await wire.chunk() == b""
            assert wire.reusable is reusable

    run(story())


WAYS_TO_BREAK = {
    "a length that is not reached": [OK + b"content-length: 3\r\n\r\nhi", None],
    "chunks without an end": [OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", None],
    "what is no chunk": [OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"],
}


@pytest.mark.parametrize("way", WAYS_TO_BREAK)
def test_an_answer_that_is_cut_gives_what_there_is_and_is_no_whole_one(way: str) -> None:
    async def story() -> None:
        async with server(WAYS_TO_BREAK[way]) as (connect, _, _):  # type: ignore[arg-type]  # lists are invariant
            wire = await connect()
            await ask(wire)
            assert await wire.chunk() == b"hi"
            with pytest.raises(ConnectionError):
                await rest(wire)
            assert not wire.reusable

    run(story())


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH\r\n", OK + b"content-le"])
def test_what_has_no_head_is_a_broken_connection(said: bytes) -> None:
    async def story() -> None:
        async with server([said, None]) as (connect, _, _):
            with pytest.raises(ConnectionError):
                await ask(await connect())

    run(story())


def test_a_connection_is_used_again_and_one_that_died_meanwhile_is_not() -> None:
    async def story() -> None:
        async with server([TWO], [TWO], [TWO]) as (connect, made, wires):
            first = await connect()
            for _ in range(2):
                await ask(first)
                assert await rest(first) == b"hi"
                wires.give_back(first)
                assert await connect() is first
            wires.give_back(first)
            made[0].transport.close()
            await made[0].lost.wait()
            await asyncio.sleep(0.01)
            second = await connect()
            assert second is not first
            await ask(second)
            assert await rest(second) == b"hi"

    run(story())


@pytest.mark.parametrize(
    ("answers", "stale"),
    [
        ([[TWO], [None]], True),
        ([[TWO], [OK[:1], None]], False),
        ([[TWO], [b"HTTP/1.1 100 Continue\r\n\r\n", None]], False),
        ([[None]], False),
    ],
    ids=["kept and closed", "after a byte", "after a word to go on", "new"],
)
def test_only_a_kept_connection_that_closed_before_any_answer_is_stale(
    answers: list[list[bytes | None]], stale: bool
) -> None:
    async def story() -> None:
        async with server(*answers) as (connect, *_):
            wire = await connect()
            for _ in answers[1:]:
                await ask(wire)
                assert await rest(wire) == b"hi"
                assert not wire.stale
            with pytest.raises(ConnectionError):
                await ask(wire)
            assert wire.stale is stale

    run(story())


def test_a_kept_connection_whose_peer_was_silent_for_long_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_apps.gateway.wire.STALE_SECONDS", 0.05)

    async def story() -> None:
        async with server([TWO], [b""] * 20 + [None]) as (connect, *_):
            wire = await connect()
            await ask(wire)
            assert await rest(wire) == b"hi"
            with pytest.raises(ConnectionError):
                await ask(wire)
            assert not wire.stale

    run(story())


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection() -> None:
    async def story() -> None:
        async with server([OK + b"content-length: 9\r\n\r\nhi"]) as (connect, made, wires):
            wire = await connect()
            await ask(wire)
            wires.give_back(wire)
            await asyncio.wait_for(made[0].lost.wait(), 1)

    run(story())


@pytest.mark.parametrize("size", [2, MOST_UNREAD + 1], ids=["little", "so much that reading has paused"])
def test_a_connection_whose_answer_came_whole_but_was_not_taken_is_not_used_again(size: int) -> None:
    async def story() -> None:
        async with server([OK + b"content-length: %d\r\n\r\n" % size + b"x" * size], [TWO]) as (connect, made, wires):
            wire = await connect()
            await ask(wire)
            while not wire._done:
                await asyncio.sleep(0.005)
            assert not wire.reusable
            wires.give_back(wire)
            await asyncio.wait_for(made[0].lost.wait(), 1)
            following = await connect()
            await ask(following)
            assert await rest(following) == b"hi"

    run(story())


@pytest.mark.parametrize(
    "second", [b"H", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", b"HTTP/1.1 404 No\r\nx-a: 1\r\n\r\n"]
)
def test_a_second_answer_in_the_packet_of_the_first_breaks_the_connection_and_leaves_the_first_alone(
    second: bytes,
) -> None:
    async def story() -> None:
        async with server([TWO + second]) as (connect, made, _):
            wire = await connect()
            await ask(wire)
            assert (wire.status, wire.headers) == (200, [(b"content-length", b"2")])
            assert await rest(wire) == b"hi"
            assert not wire.reusable
            await asyncio.wait_for(made[0].lost.wait(), 1)

    run(story())


def test_what_comes_after_a_body_is_no_header() -> None:
    head = OK + b"transfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n"

    async def story() -> None:
        async with server([head + b"2\r\nhi\r\n0\r\ncontent-type: text/event-stream\r\nx-a: 1\r\n\r\n"]) as (
            connect,
            *_,
        ):
            wire = await connect()
            await ask(wire)
            assert await rest(wire) == b"hi"
            assert dict(wire.headers) == {b"transfer-encoding": b"chunked", b"content-type": b"text/plain"}
            assert wire.reusable

    run(story())


def test_one_who_speaks_after_the_answer_is_not_asked_again() -> None:
    async def story() -> None:
        async with server([TWO, b"HTTP/1.1 200 OK\r\n\r\n"]) as (connect, made, wires):
            wire = await connect()
            await ask(wire)
            assert await rest(wire) == b"hi"
            wires.give_back(wire)
            await asyncio.wait_for(made[0].lost.wait(), 1)
            assert await connect() is not wire

    run(story())


def test_silence_is_counted_from_the_last_byte_and_the_deadline_from_the_beginning() -> None:
    async def story() -> None:
        drip: list[bytes | None] = [OK + b"content-length: 99\r\n\r\n"]
        drip += [b"."] * 90  # one in 5 ms
        async with server(drip, [b"HTTP"]) as (connect, _, _):
            wire = await connect()
            began = monotonic()
            await ask(wire, silence_s=0.25, total_s=0.4)
            with pytest.raises(TimeoutError):
                await rest(wire)
            assert 0.35 < monotonic() - began < 1.5  # it is never silent for 0.25 s
            other = await connect()
            began = monotonic()
            with pytest.raises(TimeoutError):
                await ask(other, silence_s=0.1)
            assert 0.05 < monotonic() - began < 1.0

    run(story())


def test_who_reads_slowly_holds_no_more_than_a_little_and_loses_nothing() -> None:
    size = 40 * MOST_UNREAD

    async def story() -> None:
        async with server([OK + b"content-length: %d\r\n\r\n" % size + b"x" * size]) as (connect, made, _):
            wire = await connect()
            await ask(wire)
            await asyncio.sleep(0.05)
            assert made[0].transport.get_write_buffer_size() > size // 4  # type: ignore[attr-defined]  # as above
            first = await wire.chunk()
            assert len(first) < 4 * MOST_UNREAD
            assert len(first) + len(await rest(wire)) == size

    run(story())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://10.0.0.1:81/llm/a", (Origin("10.0.0.1", 81, False), b"10.0.0.1:81", b"/llm/a")),
        ("https://api.example.com/v1?x=1", (Origin("api.example.com", 443, True), b"api.example.com", b"/v1?x=1")),
        ("http://[::1]:8000", (Origin("::1", 8000, False), b"[::1]:8000", b"/")),
    ],
)
def test_a_url_leads_to_an_origin(url: str, found: tuple[Origin, bytes, bytes]) -> None:
    assert locate(url) == found


@pytest.mark.parametrize("url", ["ftp://here/", "http:///path", "nothing"])
def test_what_is_no_address_of_http_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address of HTTP"):
        locate(url)


@pytest.mark.parametrize("size", [1 << 14, 1 << 20])
def test_an_engine_that_stands_still_before_it_reads_a_request_is_none_that_vanished(size: int) -> None:
    """Its event loop is busy for two seconds: what does not fit its buffer the kernel keeps offering in vain."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # WriteTransport by its type
        await reader.readexactly(size)
        writer.write(TWO)

    class Busy(asyncio.StreamReaderProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.pause_reading()  # type: ignore[attr-defined]  # BaseTransport by its type
            super().connection_made(transport)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        made = await loop.create_server(lambda: Busy(asyncio.StreamReader(), late), "127.0.0.1", 0)
        wire = await Wires().to(Origin("127.0.0.1", made.sockets[0].getsockname()[1], False), 1.0)
        await wire.ask(b"x" * size, 10, loop.time() + 10)
        assert await wire.chunk() == b"hi"
        wire.close()
        made.close()

    run(story())


@pytest.mark.parametrize(("nearby", "watched"), [(True, [500, 1]), (False, [0, 0])])
def test_only_peers_of_this_cluster_are_given_up_at_the_first_silence(nearby: bool, watched: list[int]) -> None:
    async def story() -> None:
        async with server([TWO]) as (connect, _, _):
            near = await connect()
            wire = await Wires(nearby=nearby).to(near.origin, 1.0)
            await wire.ask(ASKED, 5, asyncio.get_running_loop().time() + 5)
            options = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert [wire._socket.getsockopt(*option) for option in options] == watched
            wire.close()
            near.close()

    run(story())

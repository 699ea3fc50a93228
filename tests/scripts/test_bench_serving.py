"""The serving benches' own parts: their clients say truly what came, and figures and bars say what they should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop

from scripts.bench.serving import Cell, Figures, judged, numbers, rotated, row
from scripts.bench.serving_bare import flags
from scripts.bench.serving_load import Answer, Load, Route, Turn, chat_request, connect, take_turn
from scripts.bench.serving_paced import BEHAVIOUR, Behaviour, PacedApp, PacedEngine
from scripts.bench.serving_seen import split_after, summary

T = TypeVar("T")
Loop = Callable[[], asyncio.AbstractEventLoop]
FAST = Behaviour(first_ms=20.0, token_ms=5.0)
STREAMS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nX-Biplane-Version: 7\r\n\r\n"
)
ROLE, TOKEN, DONE = b'data: {"r":1}\n\n', b'data: {"t":1}\n\n', b"data: [DONE]\n\n"
USAGE = b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}\n\n'
ERROR = b'data: {"error": {"message": "The model stopped."}}\n\n'
END = b"0\r\n\r\n"


def run(what: Coroutine[Any, Any, T], loop: Loop = uvloop.new_event_loop) -> T:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(what)


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def whole(status: str, body: bytes, *fields: str) -> bytes:
    named = "".join(f"{one}\r\n" for one in (*fields, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{named}\r\n".encode() + body


@asynccontextmanager
async def served(app: PacedApp) -> AsyncIterator[Route]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Route(f"http://127.0.0.1:{port}/v1/chat/completions", "key")
    server.should_exit = True
    await serving


@asynccontextmanager
async def scripted(*answers: list[bytes], pause: float = 0.0, close: bool = False) -> AsyncIterator[Route]:
    """Answers each request with the next of `answers`, piece by piece, and the last one from then on."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                for piece in left.pop(0) if len(left) > 1 else left[0]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield Route(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions")
    server.close()


def asked(
    *pieces: bytes, stream: bool = True, pause: float = 0.0, close: bool = False, loop: Loop | None = None
) -> Answer:
    """What a client makes of one scripted answer to a request for two tokens."""

    async def ask() -> Answer:
        async with scripted(list(pieces), pause=pause, close=close) as route:
            connection = await connect(route)
            answer = await connection.ask(chat_request(route, "m", 2, stream=stream), 2, stream=stream)
            connection.close()
            return answer

    return run(ask(), loop or uvloop.new_event_loop)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_stream_is_timed_token_by_token(loop: Loop) -> None:
    async def ask() -> Answer:
        async with served(PacedApp("m", FAST)) as route:
            connection = await connect(route)
            answer = await connection.ask(chat_request(route, "m", 8, stream=True), 8, stream=True)
            connection.close()
            return answer

    answer = run(ask(), loop)
    assert (answer.trouble, answer.status, answer.tokens) == ("", 200, 8)
    assert len(answer.gaps) == 7
    # Never early; late as the machine is busy.
    assert answer.first > 0.018
    assert 0 < sum(answer.gaps) <= answer.took - answer.first
    assert answer.took > 0.018 + 7 * 0.005 - 0.002


def test_a_turn_asks_as_often_as_it_should_and_counts_every_token() -> None:
    async def turns() -> tuple[Turn, Turn]:
        async with served(PacedApp("m", FAST)) as route:
            streamed, plain = (chat_request(route, "m", 4, stream=stream) for stream in (True, False))
            return (
                await take_turn(route, streamed, 4, stream=True, clients=5, requests=13),
                await take_turn(route, plain, 4, stream=False, clients=5, requests=13),
            )

    for turn in run(turns()):
        assert sum(answer.tokens for answer in turn.answers) == 13 * 4
        assert turn.tokens_per_s == pytest.approx(52 / turn.seconds)
        # Three waves of five, 20 ms and three times 5 ms each: no faster, whatever the machine.
        assert turn.seconds > 3 * 0.032
        assert 0 < turn.cpu < 1.5


def test_answers_are_found_whole_however_the_bytes_are_cut() -> None:
    events = chunked(ROLE + TOKEN) + chunked(TOKEN) + chunked(USAGE + DONE) + END
    raw = STREAMS + events
    for at in (5, len(STREAMS) - 2, len(STREAMS) + 9, len(raw) - 6, len(raw) - 3, len(raw) - 1):
        answer = asked(raw[:at], raw[at:], pause=0.002)
        assert (answer.trouble, answer.tokens, answer.version, len(answer.gaps)) == ("", 2, "7", 1), at


def test_an_answer_in_one_piece_ends_where_its_length_says() -> None:
    body = json.dumps({"usage": {"completion_tokens": 2}}).encode()
    for raw in (whole("200 OK", body), whole("200 OK", body, "x-biplane-replica: llm:a")):
        answer = asked(raw[:30], raw[30:-4], raw[-4:], stream=False, pause=0.002)
        assert (answer.trouble, answer.tokens, answer.gaps) == ("", 2, ())
        assert answer.first == answer.took


def test_each_way_of_failing_is_told_by_its_name() -> None:
    cut = asked(STREAMS + chunked(ROLE + TOKEN), close=True)
    assert "stopped without a word" in cut.trouble
    assert not cut.told
    ended = asked(STREAMS + chunked(ROLE + TOKEN) + chunked(b"\n\n" + ERROR) + END)
    assert ended.told
    assert "The model stopped." in ended.trouble
    told_and_done = asked(STREAMS + chunked(ROLE + TOKEN + ERROR + DONE) + END)
    assert told_and_done.told, "vLLM sends [DONE] after its error event"
    refused = asked(whole("503 Service Unavailable", b'{"error": {"code": "model_unavailable"}}'))
    assert refused.trouble.startswith("status 503")
    assert "model_unavailable" in refused.trouble
    assert asked(b"", close=True).trouble == "the connection was closed"
    short = asked(STREAMS + chunked(ROLE + TOKEN + USAGE.replace(b": 2", b": 1") + DONE) + END)
    assert short.trouble.startswith("1 tokens came, expected 2")
    assert {one.tokens for one in (cut, ended, refused, short)} == {0}, "what is not as asked counts nothing"


def test_a_turn_ends_with_the_first_wrong_answer() -> None:
    async def turn() -> Turn:
        async with scripted([whole("500 Internal Server Error", b"no")]) as route:
            return await take_turn(
                route, chat_request(route, "m", 2, stream=False), 2, stream=False, clients=3, requests=9
            )

    with pytest.raises(RuntimeError, match="status 500"):
        run(turn())


def test_the_load_goes_on_through_broken_connections_and_nobody_listening() -> None:
    good = STREAMS + chunked(ROLE + TOKEN) + chunked(TOKEN + USAGE + DONE) + END

    async def watch() -> tuple[list[Answer], list[Answer]]:
        async with scripted([good], [STREAMS], [good], close=True) as route:
            load = Load(route, "m", 2, clients=2)
            load.start()
            while sum(not one.trouble for one in load.answers) < 4:
                await asyncio.sleep(0.01)
            await load.stop()
        gone = Load(route, "m", 2, clients=1)
        gone.start()
        while not gone.answers:
            await asyncio.sleep(0.01)
        await gone.stop()
        return load.answers, gone.answers

    answers, gone = run(watch())
    assert sum("stopped without a word" in one.trouble for one in answers) == 1
    assert gone[0].trouble.startswith("no connection")


def test_a_request_has_what_both_engines_need_to_make_exactly_so_many_tokens() -> None:
    raw = chat_request(Route("http://h:1/llm/x/v1/chat/completions", "k"), "m", 32, stream=True)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /llm/x/v1/chat/completions HTTP/1.1\r\nHost: h:1\r\n")
    assert b"Authorization: Bearer k" in head
    asked = json.loads(body)
    assert (asked["max_tokens"], asked["ignore_eos"], asked["stream_options"]) == (32, True, {"include_usage": True})
    assert b"Authorization" not in chat_request(Route("http://h:1/v1/x"), "m", 1, stream=False)


def test_the_paced_engine_follows_the_hook_of_ray_and_reads_its_behaviour(tmp_path: Path) -> None:
    (tmp_path / BEHAVIOUR).write_text(json.dumps({"first_ms": 1.0, "token_ms": 1.0, "fails": 1.0}))
    loading = SimpleNamespace(model_id="m", model_source=str(tmp_path))

    async def ask() -> Answer:
        engine = PacedEngine(SimpleNamespace(model_loading_config=loading))
        await engine.start()
        await engine.check_health()
        app = await engine.build_asgi_app()
        assert isinstance(app, PacedApp)
        async with served(app) as route:
            connection = await connect(route)
            answer = await connection.ask(chat_request(route, "m", 2, stream=True), 2, stream=True)
            connection.close()
            return answer

    assert run(ask()).trouble.startswith("status 500")
    assert Behaviour.of(tmp_path / "none") == Behaviour()
    (tmp_path / BEHAVIOUR).write_text('{"frist_ms": 1}')
    with pytest.raises(TypeError):
        Behaviour.of(tmp_path)


def figures(tokens: float, ttft: float | None = None, itl: float | None = None) -> Figures:
    return Figures(tokens, ttft, itl, 0.1)


def test_a_row_has_the_names_of_the_issue_and_nothing_else() -> None:
    cell = Cell("tiny", 8, False, 32)
    found = row(cell, {name: figures(100.0) for name in ("bare", "direct", "biplane")})
    assert list(found) == [
        *("engine", "clients", "stream", "output_tokens"),
        *("bare_tokens_per_s", "direct_tokens_per_s", "biplane_tokens_per_s"),
        *("bare_ttft_ms_p50", "biplane_ttft_ms_p50", "bare_itl_ms_p99", "biplane_itl_ms_p99"),
    ]
    assert found["bare_ttft_ms_p50"] is None


def test_bars_judge_only_the_cells_that_they_are_for() -> None:
    tiny = {"bare": figures(110.0), "direct": figures(100.0), "biplane": figures(96.0), "ray": figures(50.0)}
    paced = {"bare": figures(100.0, 12.0, 11.0), "direct": figures(90.0), "biplane": figures(98.0, 17.5, 12.0)}
    found = {
        (one.bar, one.clients, one.stream): one.met
        for one in judged(
            [
                (Cell("tiny", 1, False, 32), tiny),
                (Cell("tiny", 32, False, 32), tiny),
                (Cell("tiny", 32, True, 32), tiny),
                (Cell("paced", 8, True, 32), paced),
                (Cell("paced", 64, True, 32), paced),
            ]
        )
    }
    assert found == {
        ("tokens/s, of direct", 32, False): True,
        ("tokens/s, of direct", 32, True): True,
        ("tokens/s, of bare, not streamed", 32, False): False,
        ("tokens/s, of Ray Serve LLM as it comes", 32, False): True,
        ("tokens/s, of Ray Serve LLM as it comes", 32, True): True,
        ("tokens/s, of bare", 8, True): True,
        ("TTFT p50 above bare, ms", 8, True): False,
        ("ITL p99, of bare", 8, True): True,
    }


def test_every_route_has_every_place_in_the_order_equally_often() -> None:
    orders = [rotated(["a", "b", "c"], number) for number in range(6)]
    for place in range(3):
        assert sorted(order[place] for order in orders) == ["a", "a", "b", "b", "c", "c"]


def test_engine_settings_become_flags_of_vllms_server() -> None:
    settings = {"enforce_eager": True, "enable_prefix_caching": False, "max_model_len": 512}
    assert flags(settings) == ["--enforce-eager", "--no-enable-prefix-caching", "--max-model-len", "512"]


@pytest.mark.parametrize("text", ["0", "8,x", ""])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    assert numbers("8,32") == (8, 32)
    with pytest.raises(ValueError, match=r".*"):
        numbers(text)


def test_what_clients_saw_of_an_event_counts_failures_and_told_ends_apart() -> None:
    def answer(began: float, first: float = 0.1, **what: Any) -> Answer:
        return Answer(began, took=first + 0.2, first=first, gaps=(0.01,), **what)

    seen = summary(
        [
            answer(1.0, first=0.3),
            answer(9.9),
            answer(10.5, trouble="status 503"),
            answer(11.0, trouble="error event", told=True),
            answer(12.0, first=1.5),
        ],
        happens=10.0,
        over=14.0,
    )
    assert (seen["requests"], seen["failed"], seen["error_events"], seen["waited_over_1_s"]) == (4, 1, 1, 1)
    assert seen["errors"] == {"status 503": 1}
    assert (seen["longest_wait_s"], seen["disturbed_s"], seen["recovered_s"]) == (1.5, 3.7, 4.0)
    assert (seen["before_requests"], seen["before_wait_s_p99"]) == (1, 0.3)
    assert summary([], 0.0, 1.0)["requests"] == 0


def test_the_split_of_a_step_is_that_of_requests_that_began_in_it() -> None:
    answers = [Answer(at / 10, 0.1, 0.1, version="2" if at % 4 == 0 else "1") for at in range(100)]
    told = split_after(answers, "2", decided=2.1, end=8.0)
    assert told["first_answer_s"] == pytest.approx(0.3)
    assert told["percent_after"] == pytest.approx(25, abs=2)
    assert told["requests_after"] == 49
    assert split_after(answers, "3", 2.0, 8.0)["first_answer_s"] is None

"""The bench of the gateway: its upstream and clients against each other, and what it makes of their figures."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from control.specs.load import load_text
from scripts.bench.gateway import added_of, parts, rps_of, streams_of
from scripts.bench.gateway_answer import CHUNKS, FIRST, STREAM, WHOLE, WHOLE_BYTES
from scripts.bench.gateway_load import Turn, exactly, milliseconds, take_turn, without_chunks
from scripts.bench.gateway_upstream import Answering, Door
from scripts.bench.gateway_ways import FAST, PACES, document, same_text
from scripts.bench.serving_load import Route, chat_request

SECONDS = 0.1


def take(change: Callable[[bytes], bytes] = lambda expected: expected, *, stream: bool) -> tuple[Turn, Door]:
    """A turn of two clients straight at an upstream of our own; `change` makes what they expect another thing."""

    async def measure() -> tuple[Turn, Door]:
        door = Door(0, 0.001, 0.0)
        server = await asyncio.get_running_loop().create_server(functools.partial(Answering, door), "127.0.0.1", 0)
        async with server:
            route = Route(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions")
            check = exactly(change(STREAM if stream else WHOLE))
            request = chat_request(route, FAST, CHUNKS, stream=stream)
            turn = await take_turn(route, request, check, stream=stream, clients=2, seconds=SECONDS)
        return turn, door

    return asyncio.run(measure())


@pytest.mark.parametrize("stream", [False, True])
def test_every_request_reaches_the_upstream_and_is_answered(stream: bool) -> None:
    turn, door = take(stream=stream)
    assert 0 < turn.ended <= turn.asked == door.requests
    assert min(turn.took) >= 0.001
    assert len(turn.first) == (len(turn.took) if stream else 0)
    assert all(0 < first <= took for first, took in zip(turn.first, turn.took, strict=False))


@pytest.mark.parametrize("stream", [False, True])
def test_a_single_other_byte_ends_the_bench(stream: bool) -> None:
    with pytest.raises(RuntimeError, match="they differ from byte 30 on"):
        take(lambda expected: expected[:30] + b"!" + expected[31:], stream=stream)


def test_the_whole_answer_has_its_size_and_the_stream_its_chunks_in_order() -> None:
    assert len(WHOLE) == WHOLE_BYTES
    *events, usage, done = [line[6:] for line in STREAM.split(b"\n\n") if line]
    told = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(told) == "".join(f" {number}" for number in range(1, CHUNKS + 1))
    assert (done, json.loads(usage)["usage"]["completion_tokens"]) == (b"[DONE]", CHUNKS)
    assert FIRST.rstrip() == b"data: " + events[1]


def test_chunks_of_http_are_taken_away_and_what_is_none_is_refused() -> None:
    assert without_chunks(b"3\r\nabc\r\nA\r\n\r\n0\r\n\r\n123\r\n0\r\n\r\n") == b"abc\r\n0\r\n\r\n123"
    with pytest.raises(ValueError, match="invalid literal"):
        without_chunks(b"no length\r\nabc")


def test_the_document_is_one_that_apply_takes_and_its_limits_are_on(tmp_path: Path) -> None:
    doors = dict.fromkeys(PACES, 1)
    (loaded,) = load_text(document(doors, tmp_path / "key", cache=False), "bench")
    gateway = loaded.spec.model_dump()["gateway"]
    assert [route["match"]["model"] for route in gateway["routes"]] == list(PACES)
    assert all(backend["cost_budget_daily"] for route in gateway["routes"] for backend in route["backends"])
    assert {limit["key"] for limit in gateway["rate_limits"]} == {"api_key", "organization"}


def test_another_proxys_answer_may_be_written_anew_but_not_say_another_thing() -> None:
    answer = json.loads(WHOLE)
    assert same_text(json.dumps({**answer, "id": "another"}, indent=1).encode()) == ""
    answer["choices"][0]["message"]["content"] += "a"
    assert "another text" in same_text(json.dumps(answer).encode())
    assert "no chat completion" in same_text(b'{"error": {}}')


def test_added_is_the_difference_of_percentiles_over_all_rounds() -> None:
    direct = [Turn(1.0, took=[0.001] * 99), Turn(1.0, took=[0.003] * 2)]
    mine = [Turn(1.0, took=[0.002] * 99), Turn(1.0, took=[0.009] * 2)]
    told = added_of({"direct": direct, "gateway": mine}, "")
    assert told["added_ms_p50_c1"] == pytest.approx(1.0)
    assert told["added_ms_p99_c1"] == pytest.approx(6.0)


def test_answers_a_second_are_the_median_of_the_turns_and_none_where_there_are_none() -> None:
    assert rps_of([Turn(2.0, ended=2), Turn(2.0, ended=8), Turn(2.0, ended=4)]) == 2.0
    assert rps_of([]) is None


def test_chunks_a_second_leave_out_the_events_that_are_none() -> None:
    turn = Turn(2.0, events=2 * STREAM.count(b"data: "), reads=102, ended=2)
    told = streams_of({"direct": [turn], "gateway": [turn]}, "")
    assert (told["chunks_per_s"], told["events_per_read"], told["streams"]) == (CHUNKS, 4.0, 2)


def test_percentiles_are_in_milliseconds() -> None:
    assert milliseconds([0.001, 0.002, 0.003], 50) == 2.0


def test_unknown_parts_are_refused() -> None:
    assert parts("rps,cache") == ("rps", "cache")
    with pytest.raises(ValueError, match="rps,all"):
        parts("rps,all")

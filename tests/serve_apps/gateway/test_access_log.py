"""The access log: what is in a line and what never is, what becomes of it when it is full or cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from control.route_traffic import Outcome
from serve_apps.gateway import access_log
from serve_apps.gateway.access_log import FORMER_FILES, MOST_FILES, PREFIX, AccessLog, line_of
from serve_apps.gateway.proxy import Timeouts
from tests.serve_apps.gateway.test_backends import ask, backend, provider, publish, refusing
from tests.serve_apps.gateway.test_limits import counted, set_up, stream
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.test_route_figures import record, shares_of
from tests.serve_apps.gateway.upstream import CHAT, KEY, answer_json, chat_body, world


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "PERIOD_SECONDS", 0.01)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in directory.glob(f"{PREFIX}*") for line in file.read_text().splitlines()]


def test_a_line_says_all_that_is_known_of_a_request_in_units_that_its_names_tell() -> None:
    failed = record()._replace(
        outcome=Outcome.RATE_LIMITED, status=429, code="rate_limit_exceeded", attempts=("openai/gpt-4o: busy",)
    )
    assert line_of(failed) == {
        "time": "1970-01-01T00:16:40.000+00:00",
        "request_id": "r1",
        "key": "alice",
        "organization": "lab",
        "path": "/v1/chat/completions",
        "route": "chat",
        "model": "gpt-4o",
        "backend": "openai/gpt-4o",
        "status": 429,
        "outcome": "rate_limited",
        "error": "rate_limit_exceeded",
        "duration_ms": 400.0,
        "ttft_ms": 50.0,
        "prompt_tokens": 10,
        "cached_tokens": 4,
        "completion_tokens": 5,
        "cost_dollars": 7e-9,
        "cache": None,
        "attempts": ("openai/gpt-4o: busy",),
        "bytes_in": 100,
        "bytes_out": 200,
    }


def test_what_a_client_made_up_is_short_and_stays_in_its_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(answer_json, logs=tmp_path) as it, provider(counted) as one:
            await set_up(it, one.url)
            body = chat_body(model="a\nb" * 1000)
            async with it.client.post(CHAT, json=body, headers={"x-request-id": "x" * 1000}) as response:
                assert response.status == 200
        (line,) = (path.read_text() for path in tmp_path.glob("*.jsonl"))
        assert line.count("\n") == 1
        assert len(line) < 1000

    run(story())


def test_requests_are_written_down_and_nothing_of_what_they_say(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            world(answer_json, logs=tmp_path) as it,
            provider(counted) as one,
            provider(refusing(401, "sk-secret")) as two,
        ):
            await set_up(it, one.url)
            assert (await ask(it, messages=[{"role": "user", "content": "my secret wish"}]))[0] == 200
            await stream(it)
            await publish(it, backend("openai", two.url), retries=0)
            assert (await ask(it))[0] == 503

    run(story())
    found = lines(tmp_path)
    assert [(line["status"], line["outcome"], line["error"]) for line in found] == [
        (200, "ok", None),
        (200, "ok", None),
        (503, "server_error", "model_unavailable"),
    ]
    assert [line["ttft_ms"] is None for line in found] == [True, False, True]
    assert all(line["bytes_in"] > 40 for line in found)
    assert found[0]["bytes_out"] > 100
    assert (found[0]["prompt_tokens"], found[0]["cost_dollars"]) == (100, 0.00018)
    assert found[2]["attempts"], "what went wrong"
    written = "".join(file.read_text() for file in tmp_path.iterdir())
    for secret in ("my secret wish", KEY, "sk-secret", "Hi"):
        assert secret not in written


KNOWN = {"key": "admin", "organization": "default", "path": CHAT}
UNKNOWN = dict.fromkeys(("route", "model", "backend", "cache", "ttft_ms"))
NOTHING = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "cost_dollars": 0, "attempts": []}


@pytest.mark.parametrize(
    ("head", "body", "ending", "received"),
    [
        ("content-length: 9", b'{"model":', (400, "client_error", "invalid_json"), 9),
        ("content-length: 2", b"{}", (400, "client_error", "invalid_value"), 2),
        ("content-length: 9999", b"", (413, "client_error", "request_too_large"), None),
        ("transfer-encoding: chunked", b"2000\r\n" + b" " * 8192, (413, "client_error", "request_too_large"), None),
        ("content-length: 9", b"{", (408, "client_error", "request_timeout"), None),
        ("content-length: 9", None, (499, "client_left", "client_left"), None),
    ],
    ids=["no JSON", "no model", "said to be too large", "too large", "too slow", "gone"],
)
def test_a_request_that_cannot_be_read_has_its_line(
    tmp_path: Path, head: str, body: bytes | None, ending: tuple[int, str, str], received: int | None
) -> None:
    async def story() -> None:
        async with world(answer_json, Timeouts(body_s=0.1), logs=tmp_path) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            said = (
                f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nx-request-id: r1\r\n{head}\r\n\r\n"
            )
            writer.write(said.encode() + (body or b""))
            if body is None:
                await asyncio.sleep(0.02)
            else:
                assert b" %d " % ending[0] in await reader.readline()
            writer.close()

    run(story())
    (line,) = lines(tmp_path)
    assert (line["status"], line["outcome"], line["error"]) == ending
    assert (line["request_id"], line["bytes_in"], line["bytes_out"]) == ("r1", received, 0)
    assert line == line | KNOWN | UNKNOWN | NOTHING
    assert 0 < line["duration_ms"] < 1000


def test_a_request_for_which_there_is_no_room_has_its_line_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_apps.gateway.app.MOST_AT_ONCE", 1)
    monkeypatch.setattr("serve_apps.gateway.generation.PATIENCE_SECONDS", 0.05)

    async def story() -> None:
        shed = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await shed.wait()
            return await answer_json(request)

        async with world(late, logs=tmp_path) as it:

            async def status() -> int:
                async with it.client.post(CHAT, json=chat_body()) as response:
                    return response.status

            first = asyncio.create_task(status())
            await asyncio.sleep(0.05)
            assert await status() == 503
            shed.set()
            assert await first == 200
            shares = await shares_of(it, 2)
            assert (shares[""].server_error, shares["tiny"].ok) == (1, 1)

    run(story())
    shed, _ = lines(tmp_path)
    assert (shed["status"], shed["outcome"], shed["error"]) == (503, "server_error", "overloaded")
    assert shed == shed | KNOWN | UNKNOWN | NOTHING
    assert shed["duration_ms"] > 40, "it waited"


def test_who_has_no_good_key_or_asks_for_no_model_has_no_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(answer_json, logs=tmp_path) as it:
            async with it.client.post(CHAT, json=chat_body(), headers={"authorization": "Bearer x"}) as refused:
                assert refused.status == 401
            async with it.client.get("/v1/models") as listed:
                assert listed.status == 200

    run(story())
    assert lines(tmp_path) == []


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MOST_BYTES", 4096)
    monkeypatch.setattr(access_log, "MOST_AT_ONCE", 4)
    log = AccessLog(tmp_path, "a")
    log.open()
    with closing(log):
        for index in range(200):
            log.write(record()._replace(sent=index))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + FORMER_FILES
    assert all(file.stat().st_size <= 4096 for file in files)
    assert max(line["bytes_out"] for line in lines(tmp_path)) == 199
    assert log.dropped == 0


def test_files_of_replicas_that_are_gone_are_cleared_the_oldest_first(tmp_path: Path) -> None:
    for age in range(MOST_FILES + 5):
        file = tmp_path / f"{PREFIX}{age}.jsonl"
        file.touch()
        os.utime(file, (time.time() - age, time.time() - age))
    (tmp_path / "ray.log").touch()
    log = AccessLog(tmp_path, "a")
    log.open()
    log.close()
    kept = {file.name for file in tmp_path.iterdir()}
    assert kept == {f"{PREFIX}{age}.jsonl" for age in range(MOST_FILES)} | {"ray.log"}


def test_what_the_disk_does_not_take_is_counted_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = AccessLog(tmp_path / "file", "a")  # a directory that cannot be made
    log.open()
    with closing(log):
        log.write(record())
        log.write(record())
    assert log.dropped == 2


def test_a_thread_that_does_not_keep_up_costs_lines_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 10)
    log = AccessLog(tmp_path, "a")
    for _ in range(25):
        log.write(record())
    assert log.dropped == 15
    log.open()
    log.close()
    assert len(lines(tmp_path)) == 10

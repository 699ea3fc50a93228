"""The access log: what is in a line and what never is, what becomes of it when it is full or cannot be written."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from control.route_traffic import Outcome
from serve_apps.gateway import access_log
from serve_apps.gateway.access_log import FORMER_FILES, MOST_FILES, PREFIX, AccessLog, line_of
from tests.serve_apps.gateway.test_backends import ask, backend, provider, publish, refusing
from tests.serve_apps.gateway.test_limits import counted, set_up, stream
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.test_route_figures import record
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

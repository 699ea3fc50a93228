"""The AI gateway on a real plane: budgets that hold whatever is killed, keys, the cache, and what is told of it all.

The tests of this file tell one story and share one plane: each goes on where the one before ended.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psutil
import pytest

from control.kernel.recover import processes_of
from tests.e2e.plane import Plane, sigkill, until

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
NANO_PER_TOKEN = 1000
COST = 120 * NANO_PER_TOKEN
REQUESTS = 50
"""What the budget is for."""
DOCUMENT = """\
gateway:
  name: front
  routes:
    - name: chat
      match: {{path: /v1/chat/completions}}
      backends:
        - {{provider: openai, model: gpt-4o, weight: 70, endpoint: "{url}", api_key: {{env: HOME}}}}
    - name: cached
      match: {{path: /v1/chat/completions, model: again}}
      backends: [{{provider: local-vllm, model: again, endpoint: "{url}"}}]
      cache: {{}}
  prices: [{{provider: openai, model: gpt-4o, input: 1, output: 1}}]
  rate_limits: [{{key: api_key, requests_per_minute: 100000}}]
"""


@dataclass
class Provider:
    """Answers everybody, and counts."""

    url: str
    asked: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                asked[body["model"]] += 1
            time.sleep(0.02)
            message = {"role": "assistant", "content": "hello"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            head = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
            answer = json.dumps({**head, "choices": [choice], "usage": USAGE}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            """What a probe asks for."""
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield Provider(f"http://127.0.0.1:{server.server_address[1]}", asked)
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.fixture(scope="module")
def live(plane: Plane, provider: Provider) -> Iterator[Plane]:
    plane.biplane("up", "--cluster", str(plane.cluster), timeout=600)
    plane.apply(DOCUMENT.format(url=provider.url))
    until(lambda: ask(plane, plane.key).status_code == 200)
    yield plane
    plane.biplane("delete", "gateway/front")


def ask(plane: Plane, key: str, model: str = "any", **changes: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}], **changes}
    url = f"{plane.client.settings.gateway_url}/v1/chat/completions"
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)


def status(plane: Plane, key: str) -> int:
    """0 where the connection broke off."""
    try:
        return ask(plane, key).status_code
    except httpx.TransportError:
        return 0


def processes(plane: Plane, name: str) -> list[psutil.Process]:
    return [one for one in processes_of(plane.home.plane_id) if name in " ".join(one.cmdline())]


def create_key(plane: Plane, name: str, *options: str) -> str:
    secret: str = plane.biplane("gateway", "keys", "create", name, *options)["key"]
    until(lambda: all(status(plane, secret) != 401 for _ in range(6)), seconds=5)  # whichever gateway is asked
    return secret


def test_a_budget_holds_under_200_requests_at_once_while_the_ledger_and_a_gateway_are_killed(
    live: Plane, provider: Provider
) -> None:
    key = create_key(live, "alice", "--organization", "acme", "--cost-per-day", str(REQUESTS * COST / 1e9))
    provider.asked.clear()
    statuses: Counter[int] = Counter()
    with ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(status, live, key) for _ in range(600)]
        time.sleep(1.5)
        for victim in (*processes(live, "ray::LedgerActor"), *processes(live, "ray::ServeReplica:gateway")[:1]):
            sigkill(victim.pid)
        for answer in answers:
            statuses[answer.result()] += 1
    assert provider.asked["gpt-4o"] <= REQUESTS, statuses
    assert statuses[200] > 0
    assert set(statuses) <= {0, 200, 429, 503}, statuses


def test_after_that_others_are_served_and_what_was_used_is_told(live: Plane) -> None:
    until(
        lambda: len(processes(live, "ray::LedgerActor")) == 1 and len(processes(live, "ray::ServeReplica:gateway")) == 2
    )
    key = create_key(live, "bob", "--organization", "acme", "--cost-per-day", "1")
    until(lambda: status(live, key) == 200)

    def told() -> dict[str, Any]:
        rows = live.biplane("gateway", "usage", "--by", "key")["usage"]
        return {row["key"]: row for row in rows}

    until(lambda: "bob" in told(), seconds=10)
    bob = told()["bob"]
    assert bob["cost"] == pytest.approx(bob["requests"] * COST / 1e9)


def test_with_every_control_actor_dead_requests_are_answered(live: Plane) -> None:
    for victim in (*processes(live, "ray::ControlActor"), *processes(live, "ray::LedgerActor")):
        sigkill(victim.pid)
    assert [status(live, live.key) for _ in range(20)] == [200] * 20


def test_a_key_is_revoked_within_a_second(live: Plane) -> None:
    key = create_key(live, "carol")
    assert status(live, key) in (200, 429)
    live.biplane("gateway", "keys", "revoke", "carol")
    time.sleep(1)
    assert [status(live, key) for _ in range(4)] == [401] * 4  # of both replicas


def test_an_answer_is_found_again_by_its_words_and_by_its_meaning(live: Plane, provider: Provider) -> None:
    def asked(words: str) -> str:
        messages = [{"role": "user", "content": words}]
        return str(ask(live, live.key, "again", messages=messages).headers.get("x-biplane-cache", ""))

    def found(country: str) -> list[str]:
        words = (
            f"What is the capital of {country}?",
            f"What is the capital of {country}?",
            f"Tell me the capital of {country}.",
        )
        return [asked(one) for one in words]

    countries = iter(("France", "Spain", "Italy", "Norway", "Japan", "Peru", "Kenya", "Cuba", "Chile", "Nepal"))

    def is_found() -> bool:  # another one each time: the cache comes up with the first request, and misses it
        time.sleep(2)
        return found(next(countries)) == ["", "exact", "semantic"]

    until(is_found)

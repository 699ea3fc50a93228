"""What the gateway's bench measures: a plane with the bench's gateway document, the upstream, and the peers.

Whatever is started here is ended here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from control.preflight import choose_port
from control.specs.load import load_text
from control.specs.problem import SpecError
from scripts.bench.gateway_answer import STREAM, WHOLE
from scripts.bench.gateway_load import Check, exactly
from scripts.bench.gateway_peers import MODEL, echo, haproxy, litellm
from scripts.bench.serving import say
from scripts.bench.serving_load import Route
from scripts.bench.serving_plane import CHAT, Plane, plane, server

DIRECT, GATEWAY, HAPROXY, ECHO, LITELLM = "direct", "gateway", "haproxy", "echo", "litellm"
FAST, SLOW, PACED, CACHED = "fast", "slow", "paced", "cached"
PACES = {FAST: "0:0", SLOW: "20:0", PACED: "20:2"}
"""Of the upstream's doors: ms before the first byte, ms between events."""
LARGE = 10**9
"""A limit that is looked at and never reached."""
ANSWERS_IN_A_ROW = 16
"""On new connections each: both replicas have the routes."""
ROUTES_SECONDS = 30.0


@dataclass(frozen=True)
class Way:
    """How the upstream is asked. `door` is its port, None for who asks no upstream; `checks` say what is wrong with a
    whole answer and with a stream.
    """

    route: Route
    model: str
    door: int | None
    checks: tuple[Check, Check] = (exactly(WHOLE), exactly(STREAM))


Ways = Mapping[str, Mapping[str, Way]]
"""By what the upstream does (a key of PACES, or CACHED) and by who is asked."""


def asked_of(door: int | None) -> int:
    """How many completions the upstream was asked for at its port `door`."""
    if door is None:
        return 0
    return int(httpx.get(f"http://127.0.0.1:{door}/count", trust_env=False).json()["requests"])


def document(doors: Mapping[str, int], secret: Path, *, cache: bool) -> str:
    """The gateway's: the article's limits, budgets, triggers and connections, with large numbers."""
    key = {"file": str(secret)}

    def route(name: str, **more: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{doors[FAST if name == CACHED else name]}"
        shared = {"max_tokens_per_min": LARGE, "cost_budget_daily": LARGE, "endpoint": url}
        backends = [
            {"provider": "openai", "model": "gpt-4o", "weight": 70, "api_key": key, **shared},
            {"provider": "local-vllm", "model": "llama-3.1-70b", "weight": 30, **shared},
        ]
        return {"name": name, "match": {"path": CHAT, "model": name}, "backends": backends, **more}

    return json.dumps(
        {
            "gateway": {
                "name": "bench",
                "routes": [*map(route, doors), *([route(CACHED, cache={})] if cache else [])],
                "rate_limits": [
                    {"key": "api_key", "requests_per_minute": LARGE, "tokens_per_minute": LARGE},
                    {"key": "organization", "requests_per_minute": LARGE, "cost_per_day": LARGE},
                ],
                "fallback": {
                    "chain": ["openai", "local-vllm"],
                    "triggers": ["error_rate > 0.05", "latency_p99 > 5000ms", "provider_status != healthy"],
                },
                "connections": {"pool_size": 100, "timeout_ms": 30000, "retry_count": 2, "streaming": True},
            }
        }
    )


def _applied(brought: Plane, doors: Mapping[str, int]) -> list[str]:
    """The gateway's routes, once every replica has them. Raises Broken, SpecError."""
    secret = brought.home.path / "bench.provider.key"
    secret.write_text("sk-bench")
    secret.chmod(0o600)
    names = [*doors, CACHED]
    try:
        documents = load_text(document(doors, secret, cache=True), "gateway bench")
    except SpecError as error:
        say(f"routes take no cache yet, so it is not measured: {error}")
        names.remove(CACHED)
        documents = load_text(document(doors, secret, cache=False), "gateway bench")
    brought.client.apply(documents)
    route, said = brought.gateway, [""]

    def answers() -> bool:
        for _ in range(ANSWERS_IN_A_ROW):
            reply = httpx.post(
                route.url,
                json={"model": FAST, "messages": [{"role": "user", "content": "hello"}]},
                headers={"Authorization": f"Bearer {route.key}"},
                trust_env=False,
            )
            said[0] = f"{reply.status_code} {reply.text[:300]}"
            if reply.content != WHOLE:
                return False
        return True

    brought.wait_for(answers, ROUTES_SECONDS, "the gateway's routes", lambda: said[0])
    return names


@contextmanager
def everything(home: Path, *, peers: bool, python: Path | None) -> Iterator[tuple[Plane, Ways]]:
    """Up and answering, with `peers` those too, and LiteLLM run by `python`; taken down at the end. Raises Broken."""
    with ExitStack() as stack:
        brought = stack.enter_context(plane(home / "plane", {}, say))
        doors = {name: choose_port(f"the {name} upstream", 0, "") for name in PACES}
        words = ["scripts.bench.gateway_upstream", *(f"{doors[name]}:{pace}" for name, pace in PACES.items())]
        stack.enter_context(server("upstream", words, home / "upstream.log", {}, doors[FAST]))
        ways: dict[str, dict[str, Way]] = {}
        for name in _applied(brought, doors):
            door = doors[FAST if name == CACHED else name]
            ways[name] = {
                DIRECT: Way(Route(f"http://127.0.0.1:{door}{CHAT}"), name, door),
                GATEWAY: Way(brought.gateway, name, door),
            }
        if peers:
            door, fast = doors[FAST], ways[FAST]
            fast[HAPROXY] = Way(stack.enter_context(haproxy(brought, door, home)), MODEL, door)
            fast[ECHO] = Way(echo(brought), MODEL, None)
            if python is not None:
                say("starting LiteLLM's proxy")
                fast[LITELLM] = Way(
                    stack.enter_context(litellm(python, door, home)), MODEL, door, (same_text, exactly(STREAM))
                )
        yield brought, ways


def same_text(body: bytes) -> str:
    """What is wrong with an answer of which only the text has to be the upstream's; empty where nothing is."""
    try:
        mine, theirs = (json.loads(one)["choices"][0]["message"]["content"] for one in (body, WHOLE))
    except (ValueError, LookupError, TypeError):
        return f"no chat completion came: {body[:200]!r}"
    return "" if mine == theirs else f"another text came: {body[:200]!r}"

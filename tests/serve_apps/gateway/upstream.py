"""A small engine on loopback for the gateway to talk to, and the gateway itself behind a real HTTP server."""

import asyncio
import contextlib
import hashlib
import json
import math
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from control import route_traffic
from control.accounts import Reply, Report
from control.engine_report import EngineReport
from control.gateway.ledger.book import Book
from control.route_traffic import RouteTraffic
from control.traffic import Traffic, parse
from serve_apps.gateway.app import Doors, Gateway
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.scope import Ask
from serve_apps.gateway.keys import Stamp, StoredKey
from serve_apps.gateway.probes import Probing
from serve_apps.gateway.proxy import Timeouts
from serve_apps.gateway.spans import Spans

KEY = "bp-client-key"
INTERNAL_KEY = "internal"
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES = "/v1/messages"
PERIOD_SECONDS = 0.02
STALE_SECONDS = 0.2
UNPROBED = Probing(math.inf, math.inf)
"""For tests that count what a backend is asked."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def chat_body(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **changes}


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


@dataclass
class Engine:
    """Answers each request with `handler`; remembers what it was sent and whether a client left."""

    handler: Handler
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    paths: list[str] = field(default_factory=list)
    runner: web.AppRunner | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.paths.append(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        try:
            return await self.handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise

    async def die(self) -> None:
        """Breaks every connection off and takes no more, as a process that is killed."""
        assert self.runner is not None
        server = self.runner.server
        assert server is not None
        for site in list(self.runner.sites):
            await site.stop()
        for connection in server.connections:
            assert connection.transport is not None
            connection.transport.abort()


@dataclass
class Published:
    """The store: the table as the control plane would write it, the keys, what the replicas say, and the figures'
    keeper.

    Replicas in `silent` say nothing any more. `keys` are the specs by name, each with its revision.
    """

    raw: bytes | None
    broken: bool = False
    figures: dict[str, Traffic] = field(default_factory=dict)
    dropped: int = 0
    cut: int = 0
    routes: RouteTraffic = field(default_factory=lambda: route_traffic.parse({}))
    engines: dict[str, EngineReport] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    woken: list[str] = field(default_factory=list)
    rendered: int = 0
    readings: int = 0
    keys: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    revision: int = 0
    _heard: dict[str, float] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    reports: list[Report] = field(default_factory=list)
    kept: dict[bytes, Found] = field(default_factory=dict)

    def doors(self) -> Doors:
        store = (self.read, self.read_keys, self.read_engines, self.report, self.wake, self.render)
        return Doors(*store, self.lend, self.find, self.keep)

    def report(self, replica: str, body: dict[str, Any]) -> None:
        self._require()
        self.figures, self.dropped = parse(json.loads(json.dumps(body))), body["shadows_dropped"]
        self.cut, self.routes = body["streams_cut"], route_traffic.parse(json.loads(json.dumps(body)))

    def read(self) -> bytes | None:
        self.readings += 1
        self._require()
        return self.raw

    def put_key(self, name: str, key: str, **spec: Any) -> None:
        """`key` is the secret."""
        self.revision += 1
        self.keys[name] = self.revision, {"sha256": digest_of(key), **spec}

    def read_keys(self, seen: Stamp | None) -> tuple[Stamp, list[StoredKey]] | None:
        self._require()
        stamp = len(self.keys), self.revision
        return None if seen == stamp else (stamp, [(name, *one) for name, one in self.keys.items()])

    def read_engines(self) -> dict[str, tuple[EngineReport, float]]:
        self._require()
        for app in self.engines.keys() - self.silent:
            self._heard[app] = self._heard.get(app, 0.0) + 0.5
        return {app: (report, self._heard.get(app, 0.0)) for app, report in self.engines.items()}

    def wake(self, deployment: str) -> None:
        self.woken.append(deployment)
        self._require()

    def render(self) -> bytes:
        self.rendered += 1
        self._require()
        return b"biplane_up %d\n" % self.rendered

    def lend(self, report: Report) -> Reply:
        """As the ledger, without a store."""
        self._require()
        self.reports.append(report)
        return self.book.take(report, time.time())

    def find(self, ask: Ask, seconds: float) -> Found | None:
        self._require()
        return self.kept.get(ask.key)

    def keep(self, ask: Ask, body: bytes, cost: int) -> None:
        self._require()
        self.kept[ask.key] = Found(body, "exact", 0.0, ask.policy.ttl_s, cost)

    def _require(self) -> None:
        if self.broken:
            raise OSError("the control plane is away")


@dataclass
class World:
    engine: Engine
    published: Published
    client: aiohttp.ClientSession
    port: int
    gateway: Gateway
    version: int = 1

    def publish(self, **changes: Any) -> None:
        self.published.raw = table(self.engine.url, **changes)

    async def publish_model(self, **changes: Any) -> None:
        """Another model `tiny`, which the gateway has when this returns."""
        self.version += 1
        self.publish(version=self.version, models={"tiny": {"arms": [arm(self.engine.url)], **changes}})
        served = 0
        while served < self.version:
            async with self.client.get("/healthz") as response:
                served = (await response.json())["table_version"]

    async def read_again(self) -> None:
        """Returns when the gateway has taken in what the store has now: a reading may be half done, the next is not."""
        done = self.published.readings + 3
        while self.published.readings < done:
            await asyncio.sleep(0.005)

    async def figures_of(self, app: str, requests: int) -> Traffic:
        """The figures of `app` once so many requests were written down."""
        while (found := self.published.figures.get(app, Traffic())).requests < requests:
            await asyncio.sleep(0.01)
        return found


def arm(url: str, **changes: Any) -> dict[str, Any]:
    """An arm in the form that a table had when an arm was one application."""
    return {"version": "3", "weight": 1.0, "url": url, **changes}


def arm_of(*replicas: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """An arm with a replica for each (app, url)."""
    told = [{"app": app, "url": url} for app, url in replicas]
    return {"version": "3", "weight": 1.0, "name": "", "replicas": told, **changes}


def table(url: str, **changes: Any) -> bytes:
    wanted = {"version": 1, "models": {"tiny": {"arms": [arm(url)]}}, "max_body_bytes": 4096}
    return json.dumps({**wanted, **changes}).encode()


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def engine_of(handler: Handler, prefix: str = "/llm/tiny/3") -> AsyncIterator[Engine]:
    """An engine on its route, or with another `prefix` a provider's API."""
    engine = Engine(handler)
    application = web.Application()
    for path in (CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES):
        application.router.add_post(prefix + path, engine.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    engine.runner = runner
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    engine.url = f"http://127.0.0.1:{port}{prefix}"
    try:
        yield engine
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def world(
    handler: Handler,
    timeouts: Timeouts | None = None,
    first_table: bool = True,
    probing: Probing = UNPROBED,
    logs: Path | None = None,
    spans: Spans | None = None,
) -> AsyncIterator[World]:
    """A gateway in front of one engine; the client carries a good key."""
    async with engine_of(handler) as engine, gateway_of(engine, timeouts, first_table, probing, logs, spans) as it:
        yield it


class QuickServer(uvicorn.Server):
    """Ends at once where uvicorn waits for a tenth of a second twice: most of the time of a test."""

    ending: asyncio.Event

    async def main_loop(self) -> None:
        self.ending = asyncio.Event()
        await self.on_tick(0)
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=1)
            for task in late:
                task.cancel()
        await self.lifespan.shutdown()


@contextlib.asynccontextmanager
async def gateway_of(
    engine: Engine,
    timeouts: Timeouts | None,
    first_table: bool,
    probing: Probing = UNPROBED,
    logs: Path | None = None,
    spans: Spans | None = None,
) -> AsyncIterator[World]:
    published = Published(table(engine.url) if first_table else None)
    published.put_key("admin", KEY)
    gateway = Gateway(published.doors(), INTERNAL_KEY, timeouts, PERIOD_SECONDS, STALE_SECONDS, probing, logs, spans)
    port = free_port()
    server = QuickServer(uvicorn.Config(gateway, "127.0.0.1", port, log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:
            yield World(engine, published, client, port, gateway)
    finally:
        server.ending.set()
        await serving


async def answer_json(request: web.Request) -> web.StreamResponse:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return web.json_response({"choices": [{"message": {"content": "hello"}}], "usage": usage})


async def answer_events(request: web.Request) -> web.StreamResponse:
    response = await start_events(request)
    for word in ("He", "llo", "!"):
        await response.write(event(word))
        await asyncio.sleep(0.02)
    await response.write(b"data: [DONE]\n\n")
    return response


async def start_events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    return response

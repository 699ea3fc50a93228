"""A small engine on loopback for the gateway to talk to, and the gateway itself behind a real HTTP server."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from control.traffic import Traffic, parse
from serve_apps.gateway.app import Gateway
from serve_apps.gateway.proxy import Timeouts

KEY = "bp-client-key"
INTERNAL_KEY = "internal"
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
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

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.paths.append(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        try:
            return await self.handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise


@dataclass
class Published:
    """The table's reader, as the control plane would write it, and the figures' keeper."""

    raw: bytes | None
    broken: bool = False
    figures: dict[str, Traffic] = field(default_factory=dict)
    dropped: int = 0

    def report(self, replica: str, body: dict[str, Any]) -> None:
        if self.broken:
            raise OSError("the control plane is away")
        self.figures, self.dropped = parse(json.loads(json.dumps(body))), body["shadows_dropped"]

    def read(self) -> bytes | None:
        if self.broken:
            raise OSError("the control plane is away")
        return self.raw


@dataclass
class World:
    engine: Engine
    published: Published
    client: aiohttp.ClientSession
    port: int

    def publish(self, **changes: Any) -> None:
        self.published.raw = table(self.engine.url, **changes)

    async def publish_model(self, **changes: Any) -> None:
        """Another model `tiny`, which the gateway has when this returns."""
        self.publish(version=2, models={"tiny": {"arms": [arm(self.engine.url)], **changes}})
        served = 1
        while served < 2:
            async with self.client.get("/healthz") as response:
                served = (await response.json())["table_version"]

    async def figures_of(self, app: str, requests: int) -> Traffic:
        """The figures of `app` once so many requests were written down."""
        while (found := self.published.figures.get(app, Traffic())).requests < requests:
            await asyncio.sleep(0.01)
        return found


def arm(url: str, **changes: Any) -> dict[str, Any]:
    return {"version": "3", "weight": 1.0, "url": url, **changes}


def table(url: str, **changes: Any) -> bytes:
    arms = [arm(url)]
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    wanted = {"version": 1, "models": {"tiny": {"arms": arms}}, "keys": {digest: {"name": "admin"}}}
    return json.dumps({**wanted, "max_body_bytes": 4096, **changes}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def as_served(gateway: Gateway) -> ASGIApp:
    """The gateway inside the middleware Serve puts around the requests of every application."""
    identified = RequestIdMiddleware(gateway)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (gateway if scope["type"] == "lifespan" else identified)(scope, receive, send)

    return serve


@contextlib.asynccontextmanager
async def engine_of(handler: Handler) -> AsyncIterator[Engine]:
    engine = Engine(handler)
    application = web.Application()
    for path in (CHAT, COMPLETIONS, EMBEDDINGS):
        application.router.add_post("/llm/tiny/3" + path, engine.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    engine.url = f"http://127.0.0.1:{port}/llm/tiny/3"
    try:
        yield engine
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def world(handler: Handler, timeouts: Timeouts | None = None, first_table: bool = True) -> AsyncIterator[World]:
    """A gateway in front of one engine; the client carries a good key."""
    async with engine_of(handler) as engine, gateway_of(engine, timeouts, first_table) as it:
        yield it


@contextlib.asynccontextmanager
async def gateway_of(engine: Engine, timeouts: Timeouts | None, first_table: bool) -> AsyncIterator[World]:
    published = Published(table(engine.url) if first_table else None)
    gateway = Gateway(published.read, published.report, INTERNAL_KEY, timeouts, period_s=0.02)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(as_served(gateway), "127.0.0.1", port, log_level="critical", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:
            yield World(engine, published, client, port)
    finally:
        server.should_exit = True
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

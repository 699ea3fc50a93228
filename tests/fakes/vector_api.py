"""The vectors API of real shards on a port of this machine, for clients that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvicorn

from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from serve_apps.vectors.app import Vectors
from serve_apps.vectors.embedding import Embedding, Input
from tests.fakes.vector_plane import VectorPlane

Result = TypeVar("Result")
App = Callable[[Any, Any, Any], Awaitable[None]]


class NoModel:
    async def embed(self, model: str, inputs: Sequence[Input], deadline: float) -> list[list[float]]:
        raise AssertionError("no collection here has a model that is deployed")


def minilm(texts: Sequence[str], seconds: float) -> Floats:
    """Texts with words in common are near each other."""
    vectors = np.full((len(texts), 384), 1e-3, np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, sum(word.encode()) % 384] += 1
    return vectors


class VectorApi:
    """`plane` lives in the loop of the server's thread; `between` may do something before each request."""

    def __init__(self, url: str, plane: VectorPlane, loop: asyncio.AbstractEventLoop) -> None:
        self.url, self.plane, self._loop = url, plane, loop
        self.before: Callable[[dict[str, Any]], None] = lambda scope: None

    def do(self, job: Awaitable[Result]) -> Result:
        async def do() -> Result:
            return await job

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(30)


@contextmanager
def vector_api(home: Path, **specs: CollectionSpec) -> Iterator[VectorApi]:
    started: Future[VectorApi] = Future()
    stop: Future[None] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(home, specs, started, stop)))
    thread.start()
    try:
        yield started.result(30)
    finally:
        stop.set_result(None)
        thread.join()


async def _serve(home: Path, specs: dict[str, CollectionSpec], started: Future[VectorApi], stop: Future[None]) -> None:
    plane = VectorPlane(home)
    for name, spec in specs.items():
        await plane.create(name, spec)
    app = Vectors(plane.shards, Embedding(minilm, NoModel()))
    api = VectorApi("", plane, asyncio.get_running_loop())

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            api.before(scope)
        except ConnectionError:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"not now"})
            return
        await app(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(watched, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    api.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    started.set_result(api)
    await asyncio.wrap_future(stop)
    server.should_exit = True
    await serving
    await plane.close()

"""Embeddings by models that are deployed here, asked as gateways ask them: their own servers, with the internal key.

The last good table and the last reports of the engines are held; a crash leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from serve_apps.gateway.answer import Sink
from serve_apps.gateway.body import EMBEDDINGS, Request
from serve_apps.gateway.endpoints import Endpoints, Reports
from serve_apps.gateway.errors import ApiError, Failure, model_not_found, model_unavailable
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.figures import Figures
from serve_apps.gateway.proxy import Timeouts, Upstream
from serve_apps.gateway.replicas import Server, Visit
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.table_holder import TableHolder
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.wire import Headers
from serve_apps.vectors.embedding import Input

TRIES = 3
PERIOD_SECONDS = 0.5
_SCHEMES = ("http://", "https://", "data:")
_BASE64 = "data:image/png;base64,"
"""What kind of image it is its first bytes say."""


class ServedModels:
    """`run` has to run meanwhile, to know the models and where they are."""

    def __init__(self, read: Callable[[], bytes | None], engines: Callable[[], Reports], internal_key: str) -> None:
        self._holder = TableHolder(read)
        self._endpoints = Endpoints(engines, PERIOD_SECONDS)
        self._upstream = Upstream(internal_key, Timeouts())
        self._routes = Routes()
        self._exchange = Exchange(self._upstream, self._routes, Figures())
        self.close = self._upstream.close

    async def refresh(self) -> None:
        await self._endpoints.refresh()
        await self._holder.refresh()
        self._routes.learn(self._holder.table, self._endpoints.known, monotonic())

    async def run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(PERIOD_SECONDS)

    async def embed(self, model: str, inputs: Sequence[Input], deadline: float) -> list[list[float]]:
        """As `embedding.Model`: texts go together, each image by itself."""
        texts = [one for one in inputs if not one.image]
        found: dict[str, list[float]] = {}
        if texts:
            asked: dict[str, Any] = {"input": [one.text for one in texts]}
            vectors = await self._ask(model, asked, len(texts), deadline)
            found.update(zip((one.path for one in texts), vectors, strict=True))
        for one in inputs:
            if one.image:
                [found[one.path]] = await self._ask(model, _image(one.image), 1, deadline)
        return [found[one.path] for one in inputs]

    async def _ask(self, model: str, asked: Mapping[str, Any], count: int, deadline: float) -> list[list[float]]:
        document = {"model": model, **asked, "encoding_format": "float"}
        request = Request(EMBEDDINGS, json.dumps(document).encode(), model, "", None, document)
        body = await self._answered(request, deadline)
        try:
            data = sorted(json.loads(body)["data"], key=lambda one: one["index"])
            vectors = [[float(number) for number in one["embedding"]] for one in data]
        except (ValueError, LookupError, TypeError):
            raise model_unavailable(model, "its answer has no embeddings") from None
        if len(vectors) != count:
            raise model_unavailable(model, f"it answered {len(vectors)} embeddings for {count} inputs")
        return vectors

    async def _answered(self, request: Request, deadline: float) -> bytes:
        """Raises ApiError, that of the last try."""
        table, now = self._holder.table, monotonic()
        if table is None:
            raise model_unavailable(request.model, "where it is served is not known yet")
        if request.model not in table.models:
            raise model_not_found(request.model, table.models)
        target, tried = self._routes.pick(table, request.model, None, now), list[Server]()
        while True:
            tried.append(target.server)
            left_s = deadline - asyncio.get_running_loop().time()
            visit = Visit(target.server, target.slot.arm, target.server.url, request.model, left_s, tried=tried)
            sink = _Held()
            try:
                await self._exchange.answer(visit, request, {"headers": []}, sink, Taken())
                return sink.body
            except ApiError as error:
                following = self._routes.again(request.model, None, monotonic(), None, target.slot, tried)
                retried = isinstance(error.failure, Failure) and following is not None and len(tried) < TRIES
                if not retried or following is None:
                    raise
                target = following


class _Held(Sink):
    """An answer that is kept instead of told."""

    started = False

    def __init__(self) -> None:
        self.body = b""

    def expect(self, request: Request, *, native: bool) -> None:
        """It is told as it is given."""

    async def whole(self, status: int, body: bytes, headers: Headers) -> None:
        self.body = body

    async def start(self, status: int, headers: Headers) -> None:
        """A stream, which nobody asked for."""

    async def part(self, body: bytes, last: bool = False) -> None:
        self.body += body


def _image(image: str) -> dict[str, Any]:
    """As vLLM's embeddings take it: a chat with one message."""
    url = image if image.startswith(_SCHEMES) else _BASE64 + image
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": content}]}

"""The gateway: an OpenAI-compatible front for every model the table names, as one Serve application at `/`.

Raw ASGI: on the hot path there is no framework, no validation library, no logging and no call to the control
plane. Every refusal is an OpenAI error. Serve gives each request an `x-request-id` and puts it on the answer; it
goes on to the engine. Nothing is stored: a crash costs the requests in flight, and a new replica serves as soon
as it has read a table.
"""

import asyncio
import contextlib
import importlib
import logging
import random
from collections.abc import Callable
from typing import Any

import aiohttp
from ray import serve
from ray.serve.deployment import Application
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.gateway import errors
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.auth import authenticate
from serve_apps.gateway.body import ClientGone, parse_chat_request, read_body
from serve_apps.gateway.proxy import Timeouts, Upstream, read_answer, returned_headers
from serve_apps.gateway.routes import pick_arm
from serve_apps.gateway.stream import EventRelay
from serve_apps.gateway.table import PERIOD_SECONDS, Table, TableHolder
from serve_apps.internal_key import read_internal_key

log = logging.getLogger("biplane.gateway")

DEFAULT_READER = "control.client:read_gateway_table"
CHAT, MODELS, HEALTH = "/v1/chat/completions", "/v1/models", "/healthz"


class Gateway:
    """The ASGI application. `read` is the table's reader (see `TableHolder`)."""

    def __init__(
        self,
        read: Callable[[], bytes | None],
        internal_key: str,
        timeouts: Timeouts | None = None,
        table_period_s: float = PERIOD_SECONDS,
    ) -> None:
        self._holder = TableHolder(read, table_period_s)
        self._upstream = Upstream(internal_key, timeouts or Timeouts())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, Answer(send, scope["method"] == "HEAD"))
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._holder.refresh()
        async with self._upstream:
            refreshing = asyncio.create_task(self._holder.run())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            refreshing.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        try:
            await self._dispatch(scope, receive, answer)
        except errors.ApiError as error:
            await answer.error(error)
        except ClientGone:
            return
        except Exception:
            # After the head is out the only honest end is a broken connection, which the server makes of the
            # exception.
            if answer.started:
                raise
            log.exception("a request failed inside the gateway")
            await answer.error(errors.internal_error())

    async def _dispatch(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        path = scope["path"].rstrip("/") or "/"
        method = scope["method"]
        table = self._holder.table
        if path == HEALTH:
            _require_method(method, "GET", "HEAD")
            if table is None:
                raise errors.not_ready()
            return await answer.json({"status": "ok", "table_version": table.version})
        if path != CHAT and path != MODELS and not path.startswith(MODELS + "/"):
            raise errors.unknown_path(scope["path"])
        _require_method(method, *(("POST",) if path == CHAT else ("GET", "HEAD")))
        if table is None:
            raise errors.not_ready()
        authenticate(scope, table)
        if path == CHAT:
            return await self._chat(scope, receive, answer, table)
        if path == MODELS:
            return await answer.json({"object": "list", "data": [_model_card(name) for name in sorted(table.models)]})
        name = path.removeprefix(MODELS + "/")
        if name not in table.models:
            raise errors.model_not_found(name, table.models)
        return await answer.json(_model_card(name))

    async def _chat(self, scope: Scope, receive: Receive, answer: Answer, table: Table) -> None:
        """Answers one chat request, and drops the upstream connection at once when the client leaves."""
        raw = await read_body(scope, receive, table.max_body_bytes)
        answering = asyncio.create_task(self._answer_chat(scope, answer, table, raw))
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()  # vLLM aborts a request whose connection closes
        with contextlib.suppress(asyncio.CancelledError):
            await answering

    async def _answer_chat(self, scope: Scope, answer: Answer, table: Table, raw: bytes) -> None:
        request = parse_chat_request(raw)
        arm = pick_arm(table, request.model, random.random())
        response = await self._upstream.chat(arm, request, scope)
        try:
            headers = returned_headers(response.headers)
            if response.content_type == "text/event-stream":
                await _relay(response, answer, headers)
            else:
                await answer.whole(200, await read_answer(response, request.model), headers)
        finally:
            response.close()  # drops the connection unless the answer was read to its end


async def _relay(response: aiohttp.ClientResponse, answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
    relay = EventRelay()
    broken = False
    await answer.start(200, headers)
    try:
        async for chunk in response.content.iter_any():
            if ready := relay.feed(chunk):
                await answer.part(ready)
    except (aiohttp.ClientError, TimeoutError):
        broken = True
    await answer.part(relay.finish(broken), last=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _require_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise errors.method_not_allowed(method, allowed)


def _model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "biplane"}


def build(args: dict[str, Any]) -> Application:
    """The Serve application. `args`: `internal_key_file` (path), `read` (`module:function`, the
    table's reader), `replicas`."""
    reader_path = args.get("read", DEFAULT_READER)
    key_file = args["internal_key_file"]

    def make_gateway() -> ASGIApp:
        module, _, name = reader_path.partition(":")
        return Gateway(getattr(importlib.import_module(module), name), read_internal_key(key_file))

    deployment = serve.deployment(
        serve.ingress(make_gateway)(),
        name="gateway",
        num_replicas=args.get("replicas", 1),
        max_ongoing_requests=1000,  # never the queue: engines queue, limits refuse
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False},
    )
    return deployment.bind()

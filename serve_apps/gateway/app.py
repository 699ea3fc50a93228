"""The gateway: an OpenAI-compatible front for every model the table names, as one Serve application at `/`.

Raw ASGI: on the hot path there is no framework, no validation library, no logging and no call to the control
plane. Every refusal is an OpenAI error. Serve gives each request an `x-request-id` and puts it on the answer; it
goes on to the engine. Nothing is stored: a crash costs the requests in flight, and a new replica serves as soon
as it has read a table.
"""

import asyncio
import logging
import pkgutil
from collections.abc import Callable
from time import monotonic
from typing import Any

from ray import serve
from ray.serve.deployment import Application
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.gateway import errors
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.auth import authenticate
from serve_apps.gateway.body import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    ClientGone,
    Request,
    parse_request,
    read_body,
)
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.figures import Figures, Report
from serve_apps.gateway.proxy import Timeouts, Upstream
from serve_apps.gateway.routes import Routes, sticky_key
from serve_apps.gateway.shadow import Mirror
from serve_apps.gateway.table import PERIOD_SECONDS, Table, TableHolder
from serve_apps.internal_key import read_internal_key

log = logging.getLogger("biplane.gateway")

DEFAULT_READER = "control.data_plane:read_gateway_table"
DEFAULT_REPORT = "control.data_plane:write_traffic"
GENERATING = frozenset({CHAT, COMPLETIONS, EMBEDDINGS})
MODELS, HEALTH = "/v1/models", "/healthz"


class Gateway:
    """The ASGI application. `read` is the table's reader (see `TableHolder`), `report` takes the figures."""

    def __init__(
        self,
        read: Callable[[], bytes | None],
        report: Report,
        internal_key: str,
        timeouts: Timeouts | None = None,
        period_s: float = PERIOD_SECONDS,
    ) -> None:
        self._holder = TableHolder(read, period_s)
        self._report = report
        self._period_s = period_s
        self._upstream = Upstream(internal_key, timeouts or Timeouts())
        self._routes = Routes()
        self._figures = Figures()
        self._exchange = Exchange(self._upstream, self._routes, self._figures)
        self._mirror = Mirror(self._exchange, self._figures)

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
            reporting = asyncio.create_task(self._figures.run(self._report, self._named, self._period_s))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            refreshing.cancel()
            reporting.cancel()
            self._mirror.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _named(self) -> set[str]:
        """The applications of the table."""
        models = self._holder.table.models.values() if self._holder.table else ()
        return {arm.app for model in models for arm in (*model.arms, *(shadow.arm for shadow in model.shadows))}

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
        generates = path in GENERATING
        if not generates and path != MODELS and not path.startswith(MODELS + "/"):
            raise errors.unknown_path(scope["path"])
        _require_method(method, *(("POST",) if generates else ("GET", "HEAD")))
        if table is None:
            raise errors.not_ready()
        authenticate(scope, table)
        if generates:
            return await self._generate(scope, receive, answer, table, path)
        if path == MODELS:
            return await answer.json({"object": "list", "data": [_model_card(name) for name in sorted(table.models)]})
        name = path.removeprefix(MODELS + "/")
        if name not in table.models:
            raise errors.model_not_found(name, table.models)
        return await answer.json(_model_card(name))

    async def _generate(self, scope: Scope, receive: Receive, answer: Answer, table: Table, path: str) -> None:
        """Answers one request for a model, and drops the upstream connection at once when the client leaves."""
        raw = await read_body(scope, receive, table.max_body_bytes)
        request = parse_request(path, raw)
        answering, leaving = asyncio.current_task(), asyncio.create_task(_client_left(receive))
        answered = left = False

        def leave(_: asyncio.Task[None]) -> None:
            nonlocal left
            if answering is not None and not answered:
                left = answering.cancel()  # vLLM aborts a request whose connection closes

        leaving.add_done_callback(leave)
        try:
            await self._answer(request, scope, answer, table)
        except asyncio.CancelledError:
            if answering is None or not left or answering.uncancel():
                raise  # somebody else wants this to end
        finally:
            answered = True
            leaving.cancel()

    async def _answer(self, request: Request, scope: Scope, answer: Answer, table: Table) -> None:
        """Tries one arm, and a second time where that failed before anything of an answer was passed on."""
        routes = self._routes
        table = self._holder.table or table  # a body may take long to come: by then there may be a newer table
        model = table.models.get(request.model)
        key = None if model is None else sticky_key(model.sticky, request.user, scope)
        arm = routes.pick(table, request.model, key, monotonic())
        try:
            await self._exchange.answer(arm, request, scope, answer, eager=routes.alternatives(request.model))
        except errors.ApiError as error:
            if error.failure is None:
                raise
            second = routes.other(request.model, key, monotonic(), arm)
            if second is None and error.failure is errors.Failure.BROKEN:
                second = arm
            if second is None:
                raise
            await self._exchange.answer(second, request, scope, answer)
        for shadow in routes.mirrors(request.model):
            self._mirror.send(shadow, request, scope)


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
    table's reader), `report` (`module:function`, what writes the figures), `replicas`."""
    reader_path, report_path = args.get("read", DEFAULT_READER), args.get("report", DEFAULT_REPORT)
    key_file = args["internal_key_file"]

    def make_gateway() -> ASGIApp:
        read, report = (pkgutil.resolve_name(path) for path in (reader_path, report_path))
        return Gateway(read, report, read_internal_key(key_file))

    deployment = serve.deployment(
        serve.ingress(make_gateway)(),
        name="gateway",
        num_replicas=args.get("replicas", 1),
        max_ongoing_requests=1000,  # never the queue: engines queue, limits refuse
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False},
    )
    return deployment.bind()

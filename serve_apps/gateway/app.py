"""The gateway: an OpenAI-compatible front for every model the table names, as one ASGI application.

Raw ASGI: on the hot path there is no framework, no validation library, no logging and no call to the control
plane. Every refusal is an OpenAI error. Each request has an `x-request-id`, the client's or one made here, which goes
on to the engine and is on the answer. Nothing is stored: a crash costs the requests in flight, and a new replica serves
as soon as it has read a table and the keys. Where the replicas are and how they are it reads of themselves, in the
store.
"""

import asyncio
import gc
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic, time
from typing import Any

from starlette.types import Receive, Scope, Send

from control.engine_report import STALE_SECONDS
from serve_apps.gateway import errors, openapi
from serve_apps.gateway.access_log import AccessLog
from serve_apps.gateway.accounts.bank import Bank, Ledger
from serve_apps.gateway.accounts.bound import bound_of
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.admission import Admission
from serve_apps.gateway.answer import REQUEST_ID, Answer
from serve_apps.gateway.auth import authenticate, authorize
from serve_apps.gateway.body import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    ClientGone,
    Request,
    declared_bytes,
    parse_request,
    read_body,
)
from serve_apps.gateway.cache.cache import Cache, Find, Keep
from serve_apps.gateway.call import Call
from serve_apps.gateway.delivery import Delivery
from serve_apps.gateway.endpoints import Endpoints, Reports
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.figures import Figures, Report
from serve_apps.gateway.front import Front
from serve_apps.gateway.hold import Hold
from serve_apps.gateway.inbox import Inbox
from serve_apps.gateway.keys import Key, Keys, ReadKeys
from serve_apps.gateway.pool import Pool
from serve_apps.gateway.probes import Probing
from serve_apps.gateway.proxy import Timeouts, Upstream
from serve_apps.gateway.record import Unread
from serve_apps.gateway.recorder import Recorder
from serve_apps.gateway.route_delivery import RouteDelivery
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.scrape import Scrape
from serve_apps.gateway.shadow import Mirror
from serve_apps.gateway.spans import Spans
from serve_apps.gateway.surface import SURFACES, SurfaceAnswer, as_chat
from serve_apps.gateway.table import Table, TableHolder

log = logging.getLogger("biplane.gateway")

READ_SECONDS = 0.5
"""Between two looks at the table, the keys and the replicas; figures are written half as often."""
MOST_AT_ONCE = 2048
"""Requests that a replica works on, of which hold.MOST_HELD may wait for models that sleep."""
MOST_BODY_BYTES = 1 << 28
"""Of all of these together."""
MOST_WAITING = 1024
"""Requests that wait for that, each with no more of its body than inbox.MOST_AHEAD and what the server holds."""
PATIENCE_SECONDS = 5.0
"""How long one waits: longer than a burst lasts, and shorter than clients do."""
GENERATING = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, *SURFACES})
MODELS, HEALTH, METRICS = "/v1/models", "/healthz", "/metrics"
METRICS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


@dataclass(frozen=True)
class Doors:
    """The gateway's ways to the store. Each may block and may fail: it is called in a thread, at most twice a second,
    and its failure costs no request anything.
    """

    read: Callable[[], bytes | None]
    keys: ReadKeys
    engines: Callable[[], Reports]
    report: Report
    wake: Callable[[str], None]
    metrics: Callable[[], bytes]
    ledger: Ledger
    find: Find
    keep: Keep


class Gateway:
    """The ASGI application."""

    def __init__(
        self,
        doors: Doors,
        internal_key: str,
        timeouts: Timeouts | None = None,
        period_s: float = READ_SECONDS,
        stale_s: float = STALE_SECONDS,
        probing: Probing | None = None,
        logs: Path | None = None,
        spans: Spans | None = None,
    ) -> None:
        """The access log goes into the directory `logs`, where there is one."""
        timeouts = timeouts or Timeouts()
        self._report = doors.report
        self._body_s = timeouts.body_s
        self._period_s = period_s
        self._holder = TableHolder(doors.read)
        self._keys = Keys(doors.keys)
        self._endpoints = Endpoints(doors.engines, period_s, stale_s)
        hold = Hold(self._holder, doors.wake)
        self._scrape = Scrape(doors.metrics)
        self._upstream = Upstream(internal_key, timeouts)
        self._routes = Routes()
        self._figures = Figures()
        exchange = Exchange(self._upstream, self._routes, self._figures)
        self._mirror = Mirror(exchange, self._figures)
        self._delivery = Delivery(exchange, self._routes, self._mirror, hold, timeouts.total_s)
        self._admission = Pool(Admission(MOST_AT_ONCE, MOST_WAITING, MOST_BODY_BYTES))
        self._bank = Bank(doors.ledger)
        self._teller = Teller(self._bank)
        self._backends = RouteDelivery(self._delivery, self._teller, timeouts.total_s, probing or Probing())
        self._front = Front(self._backends, Cache(doors.find, doors.keep), self._teller)
        log = AccessLog(logs, self._figures.replica) if logs else None
        self._recorder = Recorder(self._backends.standings, log, spans)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _answer_to(scope, send))
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        while not await self._refresh():  # others of this port may have a table: it answers nobody before it has looked
            await asyncio.sleep(self._period_s)
        refreshing = asyncio.create_task(self._keep_fresh())
        figures = self._figures.run(self._report, self._named, self._recorder.body, 2 * self._period_s)
        reporting = asyncio.create_task(figures)
        banking = asyncio.create_task(_kept_up(self._bank.run))
        probing = asyncio.create_task(_kept_up(self._backends.probes.run))
        self._recorder.open()
        gc.collect()
        gc.freeze()  # what was imported stays: looking through it again costs streams tens of milliseconds
        await send({"type": "lifespan.startup.complete"})
        await receive()
        refreshing.cancel()
        reporting.cancel()
        banking.cancel()
        probing.cancel()
        await self._bank.close()
        await self._recorder.close()
        self._mirror.close()
        self._upstream.close()
        self._backends.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _named(self) -> set[str]:
        """The applications of the table."""
        models = self._holder.table.models.values() if self._holder.table else ()
        arms = (arm for model in models for arm in (*model.arms, *(shadow.arm for shadow in model.shadows)))
        return {replica.app for arm in arms for replica in arm.replicas}

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            await self._refresh()

    async def _refresh(self) -> bool:
        """The replicas before the table: who is named in the table has said before where it is. Whether all could be
        read.
        """
        read = [await self._keys.refresh(), await self._endpoints.refresh(), await self._holder.refresh()]
        self._routes.learn(self._holder.table, self._endpoints.known, monotonic())
        await self._backends.learn(self._holder.table)
        if self._holder.table is not None:
            self._bank.replicas = self._holder.table.replicas
        return all(read)

    async def _http(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        try:
            await self._dispatch(scope, receive, answer)
        except errors.ApiError as error:
            self._recorder.error(error)
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
        if path == openapi.PATH:
            _require_method(method, "GET", "HEAD")
            return await answer.json(openapi.OPENAPI)
        table = self._holder.table
        if path == HEALTH:
            _require_method(method, "GET", "HEAD")
            if table is None:
                raise errors.not_ready()
            return await answer.json({"status": "ok", "table_version": table.version})
        generates = path in GENERATING
        if not generates and path not in (MODELS, METRICS) and not path.startswith(MODELS + "/"):
            raise errors.unknown_path(scope["path"])
        _require_method(method, *(("POST",) if generates else ("GET", "HEAD")))
        if table is None:
            raise errors.not_ready()
        key = authenticate(scope, self._keys.known, time())
        if generates:
            return await self._generate(scope, receive, answer, table, key, path)
        if path == METRICS:
            if key.is_bounded:
                raise errors.metrics_not_allowed(key.name)
            return await answer.whole(200, await self._scrape.page(), [METRICS_TYPE])
        usable = _usable(table, key)
        if path == MODELS:
            return await answer.json({"object": "list", "data": [_model_card(name) for name in usable]})
        name = path.removeprefix(MODELS + "/")
        if name not in usable:
            raise errors.model_not_found(name, usable)
        return await answer.json(_model_card(name))

    async def _generate(
        self, scope: Scope, receive: Receive, answer: Answer, table: Table, key: Key, path: str
    ) -> None:
        """Answers one request for a model, which is recorded whether it could be read or not."""
        began, raw, request, inbox = monotonic(), None, None, Inbox(receive)
        try:
            size = declared_bytes(scope, table.max_body_bytes)
            async with self._admission.turn(key.priority, size, PATIENCE_SECONDS, inbox.left) as turn:
                raw = await self._body(inbox.receive, table.max_body_bytes)
                turn.shrink(len(raw))
                request = parse_request(path, raw)
                await self._while_there(request, scope, inbox.receive, answer, table, key)
        except BaseException as error:
            if request is None:
                self._recorder.unread(Unread(path, key, raw, began), answer, error)
            raise

    async def _body(self, receive: Receive, limit: int) -> bytes:
        """Raises ApiError 408 where it does not come in time, and as `read_body` does."""
        try:
            async with asyncio.timeout(self._body_s):
                return await read_body(receive, limit)
        except TimeoutError:
            raise errors.request_too_slow(self._body_s) from None

    async def _while_there(
        self, request: Request, scope: Scope, receive: Receive, answer: Answer, table: Table, key: Key
    ) -> None:
        """Answers, and drops the upstream connection at once when the client leaves."""
        answering, leaving = asyncio.current_task(), asyncio.create_task(_client_left(receive))
        answered = left = False

        def leave(_: asyncio.Task[None]) -> None:
            nonlocal left
            if answering is not None and not answered:
                left = answering.cancel()  # vLLM aborts a request whose connection closes

        leaving.add_done_callback(leave)
        try:
            await self._answer(request, scope, answer, table, key)
        except asyncio.CancelledError:
            if answering is None or not left or answering.uncancel():
                raise  # somebody else wants this to end
        finally:
            answered = True
            leaving.cancel()

    async def _answer(self, request: Request, scope: Scope, answer: Answer, table: Table, key: Key) -> None:
        table = self._holder.table or table  # a body may take long to come: by then there may be a newer table
        route = None if request.model in table.models else self._backends.route(request.path, request.model)
        call = Call(request, request, scope, answer, answer, table, key, route, bound_of(request))
        error: BaseException | None = None
        self._recorder.begin(call)
        try:
            await self._charged(call)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._recorder.end(call, answer, error)

    async def _charged(self, call: Call) -> None:
        """What it may take is set aside before, what it took is paid after."""
        authorize(call.key, call.request.model, call.route.name if call.route else None)
        await self._teller.admit(call)
        route, whole = call.route, False
        try:
            if route is not None:
                await self._front.deliver(call, route)
            else:
                await self._serve(call)
            whole = not call.taken.cut
        finally:
            self._teller.close(call, whole=whole)

    async def _serve(self, call: Call) -> None:
        """By a model that is served here."""
        call.answer.expect(call.asked, native=False)
        call.request = as_chat(call.request)
        if call.request.model not in call.table.models:
            raise errors.model_not_found(call.request.model, _usable(call.table, call.key))
        await self._delivery.deliver(call)


_PROCESS = token_hex(10).encode()
_numbers = itertools.count(1)
"""A request's id is its process and its number there: a random one for each is a system call."""


def _answer_to(scope: Scope, send: Send) -> Answer:
    """In the API that the path belongs to."""
    request_id, surface = _identify(scope), SURFACES.get(scope["path"].rstrip("/"))
    if surface is not None:
        return SurfaceAnswer(send, request_id, surface)
    return Answer(send, scope["method"] == "HEAD", request_id)


async def _kept_up(run: Callable[[], Awaitable[None]]) -> None:
    """Whatever goes wrong in it, it goes on: requests wait for what it does."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("%r failed in the gateway and is begun anew", run)
            await asyncio.sleep(READ_SECONDS)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _identify(scope: Scope) -> bytes:
    """The request's id, in its headers from now on if the client gave it none."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and value:
            return bytes(value)
    made = b"%b%012x" % (_PROCESS, next(_numbers))
    scope["headers"] = [*scope["headers"], (REQUEST_ID, made)]
    return made


def _require_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise errors.method_not_allowed(method, allowed)


def _usable(table: Table, key: Key) -> list[str]:
    """The models that are served here and that a key may use."""
    return [name for name in sorted(table.models) if key.may_use(name, None)]


def _model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "biplane"}

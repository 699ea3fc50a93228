"""The gateway: an OpenAI-compatible front for every model the table names, as one ASGI application.

Raw ASGI: on the hot path there is no framework, no validation library, no logging and no call to the control
plane. Every refusal is an OpenAI error. Nothing is stored: a crash costs the requests in flight, and a new replica
serves as soon as it has read a table and the keys. Where the replicas are and how they are it reads of themselves, in
the store.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from starlette.types import Receive, Scope, Send

from control.engine_report import STALE_SECONDS
from serve_apps.gateway import errors, openapi
from serve_apps.gateway.access_log import AccessLog
from serve_apps.gateway.accounts.bank import Bank, Ledger
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.admission import Admission
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.auth import authenticate, usable
from serve_apps.gateway.body import ClientGone
from serve_apps.gateway.cache.cache import Cache, Find, Keep
from serve_apps.gateway.delivery import Delivery
from serve_apps.gateway.endpoints import Endpoints, Reports
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.figures import Figures, Report
from serve_apps.gateway.front import Front
from serve_apps.gateway.generation import GENERATING, Generation
from serve_apps.gateway.hold import Hold
from serve_apps.gateway.keys import Keys, ReadKeys
from serve_apps.gateway.pool import Pool
from serve_apps.gateway.probes import Probing
from serve_apps.gateway.proxy import Timeouts, Upstream
from serve_apps.gateway.recorder import Recorder
from serve_apps.gateway.request_id import identify
from serve_apps.gateway.route_delivery import RouteDelivery
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.scrape import Scrape
from serve_apps.gateway.shadow import Mirror
from serve_apps.gateway.spans import Spans
from serve_apps.gateway.surface import SURFACES, SurfaceAnswer
from serve_apps.gateway.table_holder import TableHolder
from serve_apps.gateway.vectors import VectorsProxy
from serve_apps.gateway.ways import Ways
from serve_apps.vectors.paths import PREFIX

log = logging.getLogger("biplane.gateway")

MOST_AT_ONCE = 2048
"""Requests that a replica works on, of which hold.MOST_HELD may wait for models that sleep."""
MOST_BODY_BYTES = 1 << 28
"""Of all of these together."""
MOST_WAITING = 1024
"""Requests that wait for that, each with no more of its body than inbox.MOST_AHEAD and what the server holds."""
READ_SECONDS = 0.5
"""Between two looks at the table, the keys and the replicas; figures are written half as often."""
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
        self._bank = Bank(doors.ledger)
        teller = Teller(self._bank)
        self._ways = Ways()
        self._backends = RouteDelivery(self._delivery, self._ways, teller, timeouts.total_s, probing or Probing())
        front = Front(self._backends, Cache(doors.find, doors.keep), teller)
        log = AccessLog(logs, self._figures.replica) if logs else None
        self._recorder = Recorder(self._ways.standings, log, spans)
        pool = Pool(Admission(MOST_AT_ONCE, MOST_WAITING, MOST_BODY_BYTES))
        self._generation = Generation(
            self._holder, self._ways, front, self._delivery, teller, self._recorder, timeouts.body_s, pool
        )
        self._vectors = VectorsProxy(pool, teller, self._recorder, internal_key, timeouts)

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
        self._vectors.close()
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
        self._vectors.learn(self._endpoints.known)
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
        generates, of_vectors = path in GENERATING, path.startswith(PREFIX + "/")
        if not generates and not of_vectors and path not in (MODELS, METRICS) and not path.startswith(MODELS + "/"):
            raise errors.unknown_path(scope["path"])
        if not of_vectors:
            _require_method(method, *(("POST",) if generates else ("GET", "HEAD")))
        if table is None:
            raise errors.not_ready()
        key = authenticate(scope, self._keys.known, time())
        if generates:
            return await self._generation.answer(scope, receive, answer, table, key, path)
        if of_vectors:
            return await self._vectors.answer(scope, receive, answer, table, key)
        if path == METRICS:
            if key.is_bounded:
                raise errors.metrics_not_allowed(key.name)
            return await answer.whole(200, await self._scrape.page(), [METRICS_TYPE])
        names = usable(table.models, key)
        if path == MODELS:
            return await answer.json({"object": "list", "data": [_model_card(name) for name in names]})
        name = path.removeprefix(MODELS + "/")
        if name not in names:
            raise errors.model_not_found(name, names)
        return await answer.json(_model_card(name))


def _answer_to(scope: Scope, send: Send) -> Answer:
    """In the API that the path belongs to."""
    request_id, surface = identify(scope), SURFACES.get(scope["path"].rstrip("/"))
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


def _require_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise errors.method_not_allowed(method, allowed)


def _model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "biplane"}

"""One request on its way over the backends of a route: who is asked, in which order, how often, and what is told.

Kept in memory: how each backend is, and whose turn it is, from one table to the next. A crash forgets both.
"""

from __future__ import annotations

import asyncio
import math
from random import random
from time import monotonic, time

from starlette.types import Scope

from serve_apps.gateway.answer import Answer
from serve_apps.gateway.attempt import Failed, attempt
from serve_apps.gateway.backends.attempts import Again, GiveUp, Limits, Progress, decide
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.choice import Chooser
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.outgoing import outgoing
from serve_apps.gateway.body import Request
from serve_apps.gateway.delivery import Delivery
from serve_apps.gateway.errors import ApiError, Failure, model_unavailable
from serve_apps.gateway.secret import Secrets
from serve_apps.gateway.surface import SurfaceAnswer, as_chat
from serve_apps.gateway.table import BackendPlace, BackendSpec, Route, Table
from serve_apps.gateway.wire import Headers, Wires


class RouteDelivery:
    """`here` answers for the models that are served here."""

    def __init__(self, here: Delivery, total_s: float) -> None:
        self._here = here
        self._secrets = Secrets()
        self._total_s = total_s
        self._wires = Wires(nearby=False)
        self._backends: dict[BackendPlace, Backend] = {}
        self._choosers: dict[tuple[str, str | None], Chooser] = {}
        self._routes: dict[tuple[str, str | None], Route] = {}
        self._pools: dict[tuple[BackendPlace, int], asyncio.Semaphore] = {}
        self._specs: dict[tuple[str, str | None], dict[Backend, BackendSpec]] = {}
        self.close = self._wires.close

    def route(self, path: str, model: str) -> Route | None:
        """Whose backends answer a request for a model that is not served here."""
        return self._routes.get((path, model)) or self._routes.get((path, None))

    async def learn(self, table: Table | None) -> None:
        """Takes in a table, and providers' keys; what is known of backends that it still names stays."""
        await self._secrets.refresh(table)
        if table is None or table.routes == self._routes:
            return
        backends: dict[BackendPlace, Backend] = {}
        choosers, specs = {}, {}
        for key, route in table.routes.items():
            taking = []
            for spec in route.backends:
                # Weight, price and limits are the route's business, not the backend's: it is one whatever they are.
                place = spec.place
                backend = (
                    backends.get(place) or self._backends.get(place) or Backend(spec.name, spec.provider, spec.model)
                )
                backend.triggers = route.triggers
                backends[place] = backend
                taking.append((backend, spec.weight))
            specs[key] = {backend: spec for (backend, _), spec in zip(taking, route.backends, strict=True)}
            choosers[key] = Chooser(taking, route.chain)
            if (before := self._choosers.get(key)) is not None:
                choosers[key].go_on(before)
        self._backends, self._choosers, self._routes = backends, choosers, table.routes
        self._pools = {(place, size): pool for (place, size), pool in self._pools.items() if place in backends}
        self._specs = specs

    async def deliver(self, route: Route, request: Request, scope: Scope, answer: Answer, table: Table) -> None:
        """Raises ApiError, of all that was tried what tells the client most, while nothing was passed on."""
        if request.document.get("stream") and not route.streaming:
            raise ApiError(400, "unsupported", f"The route '{route.name}' does not stream.", param="stream")
        began = monotonic()
        choice = self._choosers[route.path, route.model].choose(began)
        order, here, specs = list(choice.order), 0, self._specs[route.path, route.model]
        if not order:
            raise _nobody(request.model, choice.words, choice.until - began)
        limits, left_s = Limits(route.retries, self._total_s), self._total_s
        faults: list[Fault] = []
        attempts: list[str] = [choice.words] if choice.words else []
        while True:
            backend = order[0]
            spec = specs[backend]
            fault = await self._try(backend, spec, route, request, scope, answer, table, attempts, left_s)
            if fault is None:
                return
            attempts.append(f"{backend.name} {fault.words}")
            faults.append(fault)
            here += 1
            now = monotonic()
            closed = backend.closed(now)
            closed_s = 0.0 if closed is None else closed.until - now
            step = decide(Progress(faults, here, len(order) - 1, closed_s, now - began), limits, random())
            if isinstance(step, GiveUp):
                if fault.delivered:
                    return  # the stream has its error event
                step.error.headers += (_told(attempts),)
                raise step.error
            left_s = step.left_s
            if isinstance(step, Again):
                await asyncio.sleep(step.delay_s)
            else:
                del order[0]
                here = 0

    async def _try(
        self,
        backend: Backend,
        spec: BackendSpec,
        route: Route,
        request: Request,
        scope: Scope,
        answer: Answer,
        table: Table,
        attempts: list[str],
        left_s: float,
    ) -> Fault | None:
        """None where it was answered; else what went wrong, which the backend's health has taken in."""
        began = monotonic()
        period = backend.begin(began)
        if period is None:
            return Fault(Failure.UNREACHED, model_unavailable(spec.name, "it is left alone for now"))
        headers = [(b"x-biplane-backend", spec.name.encode())]
        if attempts:
            headers.append(_told(attempts))
        try:
            if spec.url:
                await self._ask(spec, route, request, answer, headers, left_s)
            else:
                await self._ask_here(spec, request, scope, answer, table)
        except Failed as failed:
            fault, now = failed.fault, monotonic()
            waited = 1000 * (now - began) if fault.failure is Failure.SILENT else None
            backend.failed(period, fault, now, random(), waited)
            return fault
        except BaseException:
            backend.left(period, monotonic())
            raise
        backend.answered(period, monotonic(), 1000 * (monotonic() - began))
        return None

    async def _ask(
        self, spec: BackendSpec, route: Route, request: Request, answer: Answer, headers: Headers, left_s: float
    ) -> None:
        if why := self._secrets.why_not(spec):
            raise Failed(Fault(Failure.FAILED, model_unavailable(spec.name, why), 401))
        out = outgoing(request, spec, self._secrets.of(spec), int(time()))
        if isinstance(answer, SurfaceAnswer):
            answer.expect(request, native=out.native)
        pool = self._pools.setdefault((spec.place, route.pool_size), asyncio.Semaphore(route.pool_size))
        try:
            async with asyncio.timeout(min(route.timeout_s, left_s)):
                await pool.acquire()
        except TimeoutError:
            error = model_unavailable(spec.name, f"all {route.pool_size} connections to it are in use")
            raise Failed(Fault(Failure.FAILED, error, 429)) from None
        try:
            await attempt(self._wires, spec, out, answer, headers, route.timeout_s, left_s)
        finally:
            pool.release()

    async def _ask_here(self, spec: BackendSpec, request: Request, scope: Scope, answer: Answer, table: Table) -> None:
        if isinstance(answer, SurfaceAnswer):
            answer.expect(request, native=False)
        try:
            await self._here.deliver(as_chat(request).named(spec.model), scope, answer, table)
        except ApiError as error:
            raise Failed(Fault(error.failure or Failure.FAILED, error, error.status)) from None


def _told(attempts: list[str]) -> tuple[bytes, bytes]:
    return b"x-biplane-attempts", "; ".join(attempts).encode("ascii", "replace")


def _nobody(model: str, words: str, seconds: float) -> ApiError:
    error = model_unavailable(model, words)
    wait = min(60, max(1, math.ceil(seconds))) if math.isfinite(seconds) else 60
    error.headers = ((b"retry-after", b"%d" % wait),)
    return error

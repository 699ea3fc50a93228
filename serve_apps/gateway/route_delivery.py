"""One request on its way over the backends of a route: who is asked, in which order, how often, and what is told.

Kept in memory: how each backend is, and whose turn it is, from one table to the next. A crash forgets both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import random
from time import monotonic, time

from control.price import FREE
from control.route_traffic import Standing
from serve_apps.gateway.accounts.bank import Short
from serve_apps.gateway.accounts.shortage import after, used_up, why
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.attempt import Failed, attempt
from serve_apps.gateway.backends.attempts import Again, GiveUp, Limits, Progress, decide
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.choice import Choice, Chooser
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import Closed
from serve_apps.gateway.backends.outgoing import outgoing
from serve_apps.gateway.call import Call
from serve_apps.gateway.delivery import Delivery
from serve_apps.gateway.errors import ApiError, Failure, model_unavailable
from serve_apps.gateway.secret import Secrets
from serve_apps.gateway.surface import SurfaceAnswer, as_chat
from serve_apps.gateway.table import BackendPlace, BackendSpec, Route, Table
from serve_apps.gateway.wire import Wires


class RouteDelivery:
    """`here` answers for the models that are served here; `teller` knows what may be used of backends."""

    def __init__(self, here: Delivery, teller: Teller, total_s: float) -> None:
        self._here = here
        self._teller = teller
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

    def standings(self) -> Iterator[Standing]:
        """How each backend of each route is now."""
        now = monotonic()
        for key, specs in self._specs.items():
            for backend, spec in specs.items():
                closed = backend.closed(now)
                why = closed.why if closed else backend.sick(now)
                yield Standing(self._routes[key].name, spec.name, backend.health.state.name.lower(), why)

    async def deliver(self, call: Call, route: Route) -> None:
        """Raises ApiError, of all that was tried what tells the client most, while nothing was passed on."""
        if call.request.document.get("stream") and not route.streaming:
            raise ApiError(400, "unsupported", f"The route '{route.name}' does not stream.", param="stream")
        began, attempts, specs = monotonic(), call.attempts, self._specs[route.path, route.model]
        barred = self._teller.barred(call, specs)
        choice = self._choosers[route.path, route.model].choose(began, barred)
        order, here = list(choice.order), 0
        if choice.words:
            attempts.append(choice.words)
        limits, left_s = Limits(route.retries, self._total_s), self._total_s
        faults: list[Fault] = []
        while order:
            backend = order[0]
            try:
                fault = await self._try(call, route, backend, specs[backend], left_s)
            except Short as short:
                attempts.append(f"{backend.name}: {why(short)}")
                del order[0]
                here = 0
                barred = {**barred, backend: Closed(why(short), began + short.wait_s)}
                continue
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
                    call.taken.cut = True
                    return  # the stream has its error event
                step.error.headers += (_told(attempts),)
                raise step.error
            left_s = step.left_s
            if isinstance(step, Again):
                await asyncio.sleep(step.delay_s)
            else:
                del order[0]
                here = 0
        if faults:
            raise faults[-1].error
        raise _nobody(call.request.model, "; ".join(attempts), choice, barred, began)

    async def _try(self, call: Call, route: Route, backend: Backend, spec: BackendSpec, left_s: float) -> Fault | None:
        """None where it was answered; else what went wrong, which the backend's health has taken in. Raises Short where
        the backend may not be used so much.
        """
        reserved = await self._teller.at(call, route, spec)
        began = monotonic()
        period = backend.begin(began)
        if period is None:
            if reserved:
                reserved.settle({})
            return Fault(Failure.UNREACHED, model_unavailable(spec.name, "it is left alone for now"))
        call.backend, call.price = spec.name, spec.price or FREE
        try:
            if spec.url:
                await self._ask(call, route, spec, left_s)
            else:
                await self._ask_here(call, spec)
        except Failed as failed:
            fault, now = failed.fault, monotonic()
            waited = 1000 * (now - began) if fault.failure is Failure.SILENT else None
            backend.failed(period, fault, now, random(), waited)
            if not fault.delivered:
                call.taken.clear()
            return fault
        except BaseException:
            backend.left(period, monotonic())
            raise
        finally:
            if reserved:
                self._teller.pay(call, reserved)
        backend.answered(period, monotonic(), 1000 * (monotonic() - began))
        return None

    async def _ask(self, call: Call, route: Route, spec: BackendSpec, left_s: float) -> None:
        if reason := self._secrets.why_not(spec):
            raise Failed(Fault(Failure.FAILED, model_unavailable(spec.name, reason), 401))
        out = outgoing(call.request, spec, self._secrets.of(spec), int(time()))
        if isinstance(call.answer, SurfaceAnswer):
            call.answer.expect(call.request, native=out.native)
        if call.trace:
            out = replace(out, headers=out.headers + call.trace)
        headers = [(b"x-biplane-backend", spec.name.encode())]
        if call.attempts:
            headers.append(_told(call.attempts))
        pool = self._pools.setdefault((spec.place, route.pool_size), asyncio.Semaphore(route.pool_size))
        try:
            async with asyncio.timeout(min(route.timeout_s, left_s)):
                await pool.acquire()
        except TimeoutError:
            error = model_unavailable(spec.name, f"all {route.pool_size} connections to it are in use")
            raise Failed(Fault(Failure.FAILED, error, 429)) from None
        try:
            await attempt(self._wires, spec, out, call.answer, call.taken, headers, route.timeout_s, left_s)
        finally:
            pool.release()

    async def _ask_here(self, call: Call, spec: BackendSpec) -> None:
        if isinstance(call.answer, SurfaceAnswer):
            call.answer.expect(call.request, native=False)
        try:
            await self._here.deliver(replace(call, request=as_chat(call.request).named(spec.model)))
        except ApiError as error:
            raise Failed(Fault(error.failure or Failure.FAILED, error, error.status)) from None


def _told(attempts: list[str]) -> tuple[bytes, bytes]:
    return b"x-biplane-attempts", "; ".join(attempts).encode("ascii", "replace")


def _nobody(model: str, words: str, choice: Choice, barred: Mapping[Backend, Closed], now: float) -> ApiError:
    """Nobody may be asked: 429 where that is for what was used, 503 where backends are not well."""
    until = min((closed.until for closed in barred.values()), default=choice.until)
    wait_s = min(60.0, max(1.0, until - now))
    if barred and all(remark.backend in barred for remark in choice.remarks):
        return used_up(model, words, wait_s)
    error = model_unavailable(model, words)
    error.headers = after(wait_s)
    return error

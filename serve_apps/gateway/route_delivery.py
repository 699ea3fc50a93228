"""One request on its way over the backends of a route: who is asked, in which order, how often, and what is told.

Holds open connections and who waits for one. A crash drops them, and the requests in flight with them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from random import random
from time import monotonic, time

from control.price import FREE
from serve_apps.gateway.accounts.bank import Short
from serve_apps.gateway.accounts.shortage import after, used_up, why
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.admission import Admission
from serve_apps.gateway.attempt import Failed, attempt
from serve_apps.gateway.backends.attempts import Again, GiveUp, Limits, Progress, decide
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.choice import Choice
from serve_apps.gateway.backends.fault import Fault
from serve_apps.gateway.backends.health import Closed
from serve_apps.gateway.backends.outgoing import Outgoing, outgoing
from serve_apps.gateway.body import Request
from serve_apps.gateway.call import Call
from serve_apps.gateway.delivery import GRACE_SECONDS, Delivery
from serve_apps.gateway.errors import NOT_FOUND, ApiError, Failure, FilterError, model_unavailable
from serve_apps.gateway.pool import Full, Pool
from serve_apps.gateway.probes import Probes, Probing
from serve_apps.gateway.secret import Secrets
from serve_apps.gateway.stream import STREAM_CUT
from serve_apps.gateway.surface import as_chat
from serve_apps.gateway.table import BackendPlace, BackendSpec, Route, Table
from serve_apps.gateway.ways import Ways
from serve_apps.gateway.wire import Headers, Wires

MOST_WAIT_SECONDS = 60.0
"""What a client is told to wait for backends at the most: nobody knows when they are well."""
MOST_WAITING = 1024
"""Requests that wait for a connection to one backend; further ones go elsewhere at once."""


class RouteDelivery:
    """`here` answers for the models that are served here; `teller` knows what may be used of backends."""

    def __init__(self, here: Delivery, ways: Ways, teller: Teller, total_s: float, probing: Probing) -> None:
        self._here = here
        self._ways = ways
        self._teller = teller
        self.secrets = Secrets()
        self._total_s = total_s
        self._wires = Wires(nearby=False)
        self._pools: dict[tuple[BackendPlace, int], Pool] = {}
        self.probes = Probes(self._wires, self.secrets, probing)
        self.close = self._wires.close

    async def learn(self, table: Table | None) -> None:
        """Takes in a table, and providers' keys."""
        await self.secrets.refresh(table)
        if table is not None and self._ways.learn(table.routes):
            self._pools = {at: pool for at, pool in self._pools.items() if at[0] in self._ways.backends}
            self.probes.backends = self._ways.elsewhere()

    async def deliver(self, call: Call, route: Route) -> None:
        """Raises ApiError, of all that was tried what tells the client most, while nothing was passed on."""
        began, attempts = monotonic(), call.attempts
        way = self._ways.of(route)
        specs = way.specs
        barred = self._teller.barred(call, specs)
        if call.barred:
            reasons = {backend: call.barred.get(spec.name) for backend, spec in specs.items()}
            barred = {**barred, **{backend: Closed(reason, math.inf) for backend, reason in reasons.items() if reason}}
        asleep = [
            backend
            for backend, spec in specs.items()
            if not spec.url and (model := call.table.models.get(spec.model)) and model.asleep
        ]
        choice = way.chooser.choose(began, barred, asleep)
        order, here = list(choice.order), 0
        if choice.words:
            attempts.append(choice.words)
        if choice.woken:
            attempts.append(f"{choice.woken.name}: asleep, and woken")
            self._here.wake(choice.woken.model)
        limits, left_s = Limits(route.retries, self._total_s), self._total_s - (began - call.began)
        faults: list[Fault] = []
        unsaid: list[ApiError] = []
        while order:
            backend, spec = order[0], specs[order[0]]
            try:
                ask = self._asking(call, route, spec)
            except ApiError as unable:
                unsaid.append(unable)
                attempts.append(f"{backend.name} cannot say it: {unable.message}")
                del order[0]
                here = 0
                continue
            try:
                fault = await self._try(call, route, backend, spec, partial(ask, left_s))
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
            step = decide(Progress(faults, here, len(order) - 1, closed_s, now - call.began), limits, random())
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
            error = faults[-1].error
        elif len(unsaid) == len(choice.order) and all(remark.tried for remark in choice.remarks):
            error = unsaid[0]
        else:
            error = _nobody(call.request.model, "; ".join(attempts), choice, barred, began)
        error.headers += (_told(attempts),)
        raise error

    def _asking(self, call: Call, route: Route, spec: BackendSpec) -> Callable[[float], Awaitable[None]]:
        """What asks a backend, given how many seconds that may take. Raises ApiError 400 where its API cannot say the
        request.
        """
        if not spec.url:
            return partial(self._ask_here, call, spec, as_chat(call.request).named(spec.model))
        out = outgoing(call.request, spec, self.secrets.of(spec), int(time()))
        return partial(self._ask, call, route, spec, out)

    async def _try(
        self, call: Call, route: Route, backend: Backend, spec: BackendSpec, ask: Callable[[], Awaitable[None]]
    ) -> Fault | None:
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
            await ask()
        except Failed as failed:
            fault, now = failed.fault, monotonic()
            waited = 1000 * (now - began) if fault.failure is Failure.SILENT else None
            backend.failed(period, fault, now, random(), waited)
            if not (fault.delivered or fault.refused):  # an answer that a filter refused costs as any other
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

    async def _ask(self, call: Call, route: Route, spec: BackendSpec, out: Outgoing, left_s: float) -> None:
        if reason := self.secrets.why_not(spec):
            raise Failed(Fault(Failure.FAILED, model_unavailable(spec.name, reason), 401))
        if call.to_backend is not None:
            out = replace(out, headers=tuple(call.to_backend(out.headers)))
        if call.trace:
            out = replace(out, headers=out.headers + call.trace)
        call.answer.expect(call.asked, native=out.native)
        headers = _answered_by(spec, call.attempts)
        at = spec.place, route.pool_size
        began = monotonic()
        pool = self._pools.get(at) or self._pools.setdefault(at, Pool(Admission(route.pool_size, MOST_WAITING)))
        try:
            async with pool.turn(call.key.priority, 0, min(route.timeout_s, left_s)):
                left_s -= monotonic() - began
                async with asyncio.timeout(left_s + GRACE_SECONDS):  # a client may not read what it gets
                    await attempt(self._wires, spec, out, call.answer, call.taken, headers, route.timeout_s, left_s)
        except Full:
            reason = f"all {route.pool_size} connections to it are in use"
            fault = Fault(Failure.UNREACHED, model_unavailable(spec.name, reason), unasked=reason)
            raise Failed(fault) from None

    async def _ask_here(self, call: Call, spec: BackendSpec, request: Request, left_s: float) -> None:
        call.answer.expect(call.asked, native=False)
        scope = call.scope
        if call.to_backend is not None:
            scope = {**scope, "headers": call.to_backend(scope["headers"])}
        headers = _answered_by(spec, call.attempts)
        try:
            await self._here.deliver(replace(call, request=request, scope=scope), left_s, headers)
            if call.taken.cut:
                raise Failed(Fault(Failure.BROKEN, STREAM_CUT, delivered=True))
        except FilterError as error:
            raise Failed(Fault(Failure.FAILED, error, refused=True, delivered=call.answer.started)) from None
        except ApiError as error:
            told = error if error.status != NOT_FOUND else model_unavailable(request.model, "it is not served here")
            failure = error.failure or Failure.FAILED
            raise Failed(Fault(failure, told, error.status, delivered=call.answer.started)) from None


def _answered_by(spec: BackendSpec, attempts: list[str]) -> Headers:
    return [(b"x-biplane-backend", spec.name.encode()), *([_told(attempts)] if attempts else [])]


def _told(attempts: list[str]) -> tuple[bytes, bytes]:
    return b"x-biplane-attempts", "; ".join(attempts).encode("ascii", "replace")


def _nobody(model: str, words: str, choice: Choice, barred: Mapping[Backend, Closed], now: float) -> ApiError:
    """Nobody may be asked: 429 where that is for what was used, 503 where backends are not well."""
    wait_s = max(1.0, min((closed.until for closed in barred.values()), default=choice.until) - now)
    if barred and all(remark.backend in barred for remark in choice.remarks):
        return used_up(model, words, wait_s)
    error = model_unavailable(model, words)
    error.headers = after(min(MOST_WAIT_SECONDS, wait_s))
    return error

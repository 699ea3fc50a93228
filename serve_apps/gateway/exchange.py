"""One request at one replica: sent, its answer passed on as it comes, its times taken. Stores nothing."""

import asyncio
from time import monotonic

from starlette.types import Scope

from serve_apps.gateway.answer import Sink
from serve_apps.gateway.backends.relay import ChatRelay
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError, Failure, FilterError, model_unavailable, upstream_timeout
from serve_apps.gateway.figures import Figures, Meter, Outcome
from serve_apps.gateway.proxy import Upstream, read_answer, returned_headers
from serve_apps.gateway.relaying import pass_on
from serve_apps.gateway.replicas import Visit
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.taken import Taken
from serve_apps.gateway.upstream_error import of_engine
from serve_apps.gateway.wire import Headers, Wire

EVENT_STREAM = b"text/event-stream"


class Exchange:
    def __init__(self, upstream: Upstream, routes: Routes, figures: Figures) -> None:
        self._upstream = upstream
        self._routes = routes
        self._figures = figures

    async def answer(self, visit: Visit, request: Request, scope: Scope, answer: Sink, taken: Taken) -> None:
        """Passes the answer of the visited replica on to `answer`; `taken` counts what it took.

        Raises ApiError while nothing was passed on yet; afterwards a stream that fails ends in an error event.
        """
        app, arm = visit.server.replica.app, visit.arm
        told = [(b"x-biplane-version", arm.version.encode())]
        if arm.name:
            told.append((b"x-biplane-arm", arm.name.encode()))
        if app:
            told.append((b"x-biplane-replica", app.encode()))
        meter, outcome = self._figures.meter(app), Outcome.UNJUDGED
        try:
            with visit:
                wire = await self._upstream.connect(visit, request)
                if wire.fresh:
                    self._routes.connected(visit.server)
                await self._upstream.send(wire, visit, request, scope)
                self._routes.reached(visit.server)
                try:
                    headers = returned_headers(wire.headers) + told + visit.headers
                    if any(name == b"content-type" and kind.startswith(EVENT_STREAM) for name, kind in headers):
                        outcome = await self._relay(wire, answer, headers, meter, visit, request.shown, taken)
                        return
                    body = await read_answer(wire, request.model)
                finally:
                    self._upstream.release(wire)  # drops the connection unless the answer was read to its end
                outcome = Outcome.WHOLE
        except asyncio.CancelledError:
            if not visit.uncancel():
                raise
            outcome = Outcome.FAILED
            raise model_unavailable(request.model, "its server does not answer", Failure.SILENT) from None
        except ApiError as error:
            theirs = error.status >= 500 and not isinstance(error, FilterError)
            outcome = Outcome.FAILED if theirs else Outcome.UNJUDGED
            error.headers += tuple(told)
            if error.failure is Failure.UNREACHED:
                self._routes.unreached(visit.server, monotonic())
            elif error.failure is Failure.BROKEN:
                self._routes.broke(visit.server, monotonic())
            elif error.failure is Failure.FAILED:
                self._routes.failed(visit.server, monotonic())
            else:
                self._routes.reached(visit.server)
            raise
        finally:
            meter.end(outcome)
        taken.whole(body)
        try:
            await answer.whole(200, body, headers)
        except ValueError:
            raise model_unavailable(request.model, "its answer cannot be read", Failure.FAILED) from None

    async def _relay(
        self, wire: Wire, answer: Sink, headers: Headers, meter: Meter, visit: Visit, shown: bool, taken: Taken
    ) -> Outcome:
        relay = _EngineRelay(taken, meter, visit, shown)
        trouble = await pass_on(wire, relay, answer, headers, first_until=None)
        if not answer.started:
            raise _never_began(relay, visit.model, trouble)
        if relay.whole and not isinstance(trouble, ValueError):
            return Outcome.WHOLE
        self._figures.streams_cut += 1
        taken.cut = True
        return Outcome.FAILED


class _EngineRelay(ChatRelay):
    """Takes the times of a stream. Once that began, its request is not taken back any more."""

    def __init__(self, taken: Taken, meter: Meter, visit: Visit, shown: bool) -> None:
        super().__init__(taken, shown=shown)
        self._meter, self._visit = meter, visit

    def feed(self, chunk: bytes) -> bytes:
        told = super().feed(chunk)
        if told:
            self._meter.chunk()
        if self.began:
            self._visit.began()
        return told


def _never_began(relay: ChatRelay, model: str, trouble: Exception | None) -> ApiError:
    if isinstance(trouble, TimeoutError):
        return upstream_timeout(model)
    if relay.told is not None:
        return of_engine(model, *relay.told)
    if isinstance(trouble, ValueError):
        return model_unavailable(model, "its answer cannot be read", Failure.FAILED)
    return model_unavailable(model, "its server stopped before its answer began", Failure.BROKEN)

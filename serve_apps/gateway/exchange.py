"""One request at one replica: sent, its answer passed on as it comes, its times taken. Stores nothing."""

import asyncio
from time import monotonic

from starlette.types import Scope

from serve_apps.gateway.answer import Sink
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError, Failure, FilterError, model_unavailable, upstream_timeout
from serve_apps.gateway.figures import Figures, Meter, Outcome
from serve_apps.gateway.proxy import Upstream, read_answer, returned_headers
from serve_apps.gateway.replicas import Visit
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.stream import EventRelay
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
        """The head goes out with the first event: until then another replica may still answer instead."""
        relay = EventRelay()
        begun = False
        broken: Exception | None = None
        try:
            while chunk := await wire.chunk():
                if ready := taken.lines(relay.feed(chunk), shown):
                    meter.chunk()
                    if not begun:
                        begun = True
                        visit.began()
                        await answer.start(200, headers)
                    await answer.part(ready)
        except (ConnectionError, TimeoutError, ValueError) as error:
            broken = error
        last = taken.lines(relay.finish(), shown)
        if not begun:
            if not relay.whole:
                raise _never_began(relay, visit.model, broken)
            visit.began()
            await answer.start(200, headers)
        try:
            await answer.part(last, last=True)
        except ValueError as error:
            broken = error  # of which the client has an event
        if relay.whole and not isinstance(broken, ValueError):
            return Outcome.WHOLE
        self._figures.streams_cut += 1
        taken.cut = True
        return Outcome.FAILED


def _never_began(relay: EventRelay, model: str, broken: Exception | None) -> ApiError:
    if isinstance(broken, TimeoutError):
        return upstream_timeout(model)
    if (told := relay.told()) is not None:
        return of_engine(model, *told)
    return model_unavailable(model, "its server stopped before its answer began", Failure.BROKEN)

"""One request at one application: sent, its answer passed on as it comes, its times taken. Stores nothing."""

from time import monotonic

import aiohttp
from starlette.types import Scope

from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError, Failure, from_upstream, model_unavailable, upstream_timeout
from serve_apps.gateway.figures import Figures, Meter, Outcome
from serve_apps.gateway.proxy import Upstream, read_answer, returned_headers
from serve_apps.gateway.routes import Routes
from serve_apps.gateway.stream import EventRelay
from serve_apps.gateway.table import Arm

Headers = list[tuple[bytes, bytes]]


class Exchange:
    def __init__(self, upstream: Upstream, routes: Routes, figures: Figures) -> None:
        self._upstream = upstream
        self._routes = routes
        self._figures = figures

    async def answer(
        self,
        arm: Arm,
        request: Request,
        scope: Scope,
        answer: Answer,
        *,
        mirrored: bool = False,
        eager: bool = False,
    ) -> None:
        """Passes the answer of `arm` on to `answer`. `eager` waits less long for a connection (see `Timeouts`).

        Raises ApiError while nothing was passed on yet; afterwards a stream that fails ends in an error event.
        """
        told = [(b"x-biplane-version", arm.version.encode())]
        if arm.name:
            told.append((b"x-biplane-arm", arm.name.encode()))
        meter, outcome = self._figures.meter(arm.app), Outcome.UNJUDGED
        try:
            response = await self._upstream.send(arm, request, scope, mirrored, eager)
            self._routes.reached(arm)
            try:
                headers = returned_headers(response.headers) + told
                if response.content_type == "text/event-stream":
                    outcome = await _relay(response, answer, headers, meter, request.model)
                    return
                body = await read_answer(response, request.model)
            finally:
                response.close()  # drops the connection unless the answer was read to its end
            outcome = Outcome.WHOLE
        except ApiError as error:
            outcome = Outcome.FAILED if error.status >= 500 else Outcome.UNJUDGED
            error.headers += tuple(told)
            if error.failure is Failure.UNREACHED:
                self._routes.unreached(arm, monotonic())
            else:
                self._routes.reached(arm)
            raise
        finally:
            meter.end(outcome)
        await answer.whole(200, body, headers)


async def _relay(
    response: aiohttp.ClientResponse, answer: Answer, headers: Headers, meter: Meter, model: str
) -> Outcome:
    """The head goes out with the first event: until then another application may still answer instead."""
    relay = EventRelay()
    broken: Exception | None = None
    try:
        async for chunk in response.content.iter_any():
            if ready := relay.feed(chunk):
                meter.chunk()
                if not answer.started:
                    await answer.start(200, headers)
                await answer.part(ready)
    except (aiohttp.ClientError, TimeoutError) as error:
        broken = error
    last = relay.finish(broken is not None)
    if not answer.started and not relay.whole:
        raise _never_began(relay, model, broken)
    if not answer.started:
        await answer.start(200, headers)
    await answer.part(last, last=True)
    return Outcome.WHOLE if relay.whole else Outcome.FAILED


def _never_began(relay: EventRelay, model: str, broken: Exception | None) -> ApiError:
    if isinstance(broken, TimeoutError):
        return upstream_timeout(model)
    if (told := relay.told()) is not None:
        return from_upstream(model, *told)
    return model_unavailable(model, "its server stopped before its answer began", Failure.BROKEN)

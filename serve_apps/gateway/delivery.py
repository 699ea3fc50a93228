"""One request on its way to whoever answers it. Where a replica fails before anything of an answer was passed on, the
client is told nothing and another replica gets the request, within a number of tries and the request's one deadline.

A request that broke off may have begun to generate there; it is sent again because the client has seen nothing of it.
"""

import asyncio
from time import monotonic

from serve_apps.gateway.call import Call
from serve_apps.gateway.errors import ApiError, Failure
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.hold import Hold
from serve_apps.gateway.prefix import prefix_draw
from serve_apps.gateway.replicas import Server, Visit
from serve_apps.gateway.routes import Routes, sticky_key
from serve_apps.gateway.shadow import Mirror
from serve_apps.gateway.table import Affinity
from serve_apps.gateway.wire import Headers

TRIES = 3
"""How often a request is sent at most; a replica that could not be reached was sent nothing. What makes every engine
fail is sent no more than twice."""
GRACE_SECONDS = 1.0
"""What a request has beyond its time to tell its client that it is over."""


class Delivery:
    def __init__(self, exchange: Exchange, routes: Routes, mirror: Mirror, hold: Hold, total_s: float) -> None:
        self._exchange = exchange
        self._routes = routes
        self._mirror = mirror
        self._hold = hold
        self._total_s = total_s
        self.wake = hold.wake

    async def deliver(self, call: Call, left_s: float | None = None, headers: Headers | None = None) -> None:
        """With `headers` on a good answer, and within `left_s` seconds, where no more are left of what a request may
        take. One for a model that is asleep waits for it before, as long as the table says.

        Raises ApiError, that of the last try, while nothing was passed on. Raises TimeoutError where a client took so
        long to read its answer that the request's time was over.
        """
        total_s = self._total_s if left_s is None else left_s
        name, began = call.request.model, monotonic()
        model = call.table.models.get(name)
        if model is not None and model.asleep:
            wakes_s = model.wakes_s if left_s is None else min(model.wakes_s, left_s)
            call.table = await self._hold.until_awake(name, wakes_s)
            if left_s is not None:
                total_s = left_s - (monotonic() - began)
        async with asyncio.timeout(total_s + GRACE_SECONDS):
            await self._deliver(call, total_s, headers or [])

    async def _deliver(self, call: Call, total_s: float, headers: Headers) -> None:
        request, scope, table = call.request.counted(), call.scope, call.table
        name, routes, began = request.model, self._routes, monotonic()
        key = near = None
        if (model := table.models.get(name)) is not None:
            key = sticky_key(model.sticky, request.user, scope)
            near = prefix_draw(request.prompt) if model.affinity is Affinity.PREFIX else None
        target = routes.pick(table, name, key, began, near)
        seconds_left = total_s
        tried: list[Server] = []
        failures: list[Failure] = []
        while True:
            server, last = target.server, len(failures) == TRIES - 1
            again = server in tried
            tried.append(server)
            visit = Visit(
                server,
                target.slot.arm,
                server.url,
                name,
                seconds_left,
                hurry=len(tried) - len(failures) if routes.servers(name) > len(tried) else 0,
                tried=tried,
                task=None if last else asyncio.current_task(),
                headers=headers,
            )
            try:
                await self._exchange.answer(visit, request, scope, call.answer, call.taken)
                break
            except ApiError as error:
                now = monotonic()
                failed, seconds_left = error.failure, began + total_s - now
                if failed is None:
                    raise  # perhaps by a filter that refused an answer, which took what it took
                call.taken.clear()
                if last or seconds_left <= 0 or (failed is Failure.FAILED and failed in failures):
                    raise
                if failed is not Failure.UNREACHED:
                    failures.append(failed)
                following = routes.again(name, key, now, near, target.slot, tried)
                if following is not None:
                    target = following
                elif again or failed is not Failure.BROKEN:
                    raise  # only a connection that broke may have been no more than old
        for shadow in routes.mirrors(name, monotonic()):
            self._mirror.send(shadow, request, scope)

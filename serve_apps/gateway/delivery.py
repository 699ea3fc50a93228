"""One request on its way to whoever answers it. Where a replica fails before anything of an answer was passed on, the
client is told nothing and another replica gets the request, within a number of tries and the request's one deadline.

A request that broke off may have begun to generate there; it is sent again because the client has seen nothing of it.
"""

import asyncio
from time import monotonic

from starlette.types import Scope

from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError, Failure
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.prefix import prefix_draw
from serve_apps.gateway.replicas import Server, Visit
from serve_apps.gateway.routes import Routes, sticky_key
from serve_apps.gateway.shadow import Mirror
from serve_apps.gateway.table import Affinity, Table

TRIES = 3
"""How often a request is sent at most. What makes every engine fail is sent no more than twice."""


class Delivery:
    def __init__(self, exchange: Exchange, routes: Routes, mirror: Mirror, total_s: float) -> None:
        self._exchange = exchange
        self._routes = routes
        self._mirror = mirror
        self._total_s = total_s

    async def deliver(self, request: Request, scope: Scope, answer: Answer, table: Table) -> None:
        """Raises ApiError, that of the last try, while nothing was passed on."""
        name, routes, began = request.model, self._routes, monotonic()
        key = near = None
        if (model := table.models.get(name)) is not None:
            key = sticky_key(model.sticky, request.user, scope)
            near = prefix_draw(request.prompt) if model.affinity is Affinity.PREFIX else None
        target = routes.pick(table, name, key, began, near)
        url, seconds_left = target.server.url, None
        tried: list[Server] = []
        failures: list[Failure] = []
        while True:
            server, last = target.server, len(failures) == TRIES - 1
            twice = server in tried
            tried.append(server)
            visit = Visit(
                server,
                target.slot.arm,
                url,
                name,
                seconds_left,
                eager=routes.servers(name) > len(tried),
                tried=tried,
                task=None if last else asyncio.current_task(),
            )
            try:
                await self._exchange.answer(visit, request, scope, answer)
                break
            except ApiError as error:
                now = monotonic()
                failed, seconds_left = error.failure, began + self._total_s - now
                if failed is None or last or seconds_left <= 0 or (failed is Failure.FAILED and failed in failures):
                    raise
                failures.append(failed)
                following = routes.again(name, key, now, near, target.slot, tried)
                if following is not None:
                    target, url = following, following.server.url
                elif not twice and _worth_repeating(failed, url, server):
                    url = server.replica.url
                else:
                    raise
        for shadow in routes.mirrors(name, monotonic()):
            self._mirror.send(shadow, request, scope)


def _worth_repeating(failed: Failure, url: str, server: Server) -> bool:
    """Whether a replica may answer after all where nobody else is left: on its route through HAProxy if it was not
    that which could not be reached, and where a connection broke that may only have been old.
    """
    return failed is Failure.BROKEN or (failed is Failure.UNREACHED and url != server.replica.url)

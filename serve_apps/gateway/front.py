"""What is done with a request of a route before a backend is asked, and with its answer: filters, and the cache.

The cache holds what backends answered to what filters made of requests: filters that look at answers look at those that
are given again, too. Stores nothing itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from serve_apps.gateway.accounts.bound import bound_of
from serve_apps.gateway.answer import JSON
from serve_apps.gateway.attempt import SSE
from serve_apps.gateway.cache.cache import Cache
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.replay import events, headers_of, whole
from serve_apps.gateway.cache.scope import Ask, ask_of
from serve_apps.gateway.call import Call
from serve_apps.gateway.filters.build import build_filters
from serve_apps.gateway.filters.filter import Context
from serve_apps.gateway.route_answer import RouteAnswer
from serve_apps.gateway.route_delivery import RouteDelivery
from serve_apps.gateway.surface import as_chat
from serve_apps.gateway.table import Route

NO_FILTERS = "[]"


class Front:
    """`admit` sets aside what a request may take: once more where filters made more of it."""

    def __init__(self, delivery: RouteDelivery, cache: Cache, admit: Callable[[Call], Awaitable[None]]) -> None:
        self._delivery = delivery
        self._cache = cache
        self._admit = admit
        self._secret_of = delivery.secrets.at

    async def deliver(self, call: Call, route: Route) -> None:
        """Raises as `RouteDelivery.deliver` does, and ApiError where filters refuse the request or its answer."""
        if route.filters == NO_FILTERS and route.cache is None:
            return await self._delivery.deliver(call, route)
        filters = build_filters(route.filters, self._secret_of)
        key = call.key
        context = Context(key.name, key.organization, route.name, call.request.model, call.answer.request_id)
        call.request = filters.on_request(call.request, context)
        bound = bound_of(call.request)
        if bound.prompt > call.bound.prompt or bound.completion > call.bound.completion:
            call.bound = bound
            await self._admit(call)
        call.to_backend = partial(filters.to_backend, context=context)
        ask = None
        if route.cache is not None:
            ask = ask_of(
                call.request, call.scope["headers"], f"{route.gateway}/{route.name}", key.organization, route.cache
            )
        if ask is not None:
            call.request = as_chat(call.request)  # kept and told again as one, whichever API it was asked in
        head = partial(filters.to_client, context=context)
        client = call.answer
        call.answer = answer = RouteAnswer(client, head, partial(filters.answering, context), keeps=ask is not None)
        try:
            if ask is None:
                await self._delivery.deliver(call, route)
            else:
                await self._cached(call, route, answer, ask)
        finally:
            call.answer = client
        return None

    async def _cached(self, call: Call, route: Route, answer: RouteAnswer, ask: Ask) -> None:
        if (found := await self._cache.find(ask)) is not None:
            return await self._again(call, found)
        await self._delivery.deliver(call, route)
        if not call.taken.cut and (completion := answer.completion()) is not None:
            usage = call.taken.usage
            told = {"usage": usage.for_chat()} if usage is not None else {}
            self._cache.keep(ask, told | completion, call.cost(call.took()))
        return None

    async def _again(self, call: Call, found: Found) -> None:
        """It is told as if it had been answered now, and costs nothing."""
        request, answer = call.request, call.answer
        call.hit, call.saved, call.backend = found.kind, found.cost, "cache"
        answer.expect(call.asked, native=False)
        if not request.document.get("stream"):
            return await answer.whole(200, whole(found), [JSON, *headers_of(found)])
        options = request.document.get("stream_options")
        await answer.start(200, [SSE, *headers_of(found)])
        for event in events(found, counted=isinstance(options, dict) and bool(options.get("include_usage"))):
            await answer.part(event)
        return await answer.part(b"", last=True)

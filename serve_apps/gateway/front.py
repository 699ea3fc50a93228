"""What is done with a request of a route around the asking of backends: filters, the cache, continuing a broken stream.

The cache holds what backends answered to what filters made of requests: filters that look at answers look at those that
are given again, too. Stores nothing itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from serve_apps.gateway.accounts.bound import bound_of
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.answer import JSON
from serve_apps.gateway.attempt import SSE
from serve_apps.gateway.backends.continuation import MOST, may_continue, passed_over, rest_of
from serve_apps.gateway.cache.cache import Cache
from serve_apps.gateway.cache.found import Found
from serve_apps.gateway.cache.replay import events, headers_of, whole
from serve_apps.gateway.cache.scope import Ask, ask_of
from serve_apps.gateway.call import Call
from serve_apps.gateway.continued_answer import ContinuedAnswer
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.filters.build import build_filters
from serve_apps.gateway.filters.filter import Context
from serve_apps.gateway.route_answer import RouteAnswer
from serve_apps.gateway.route_delivery import RouteDelivery
from serve_apps.gateway.surface import as_chat
from serve_apps.gateway.table import Route
from serve_apps.gateway.taken import Taken

NO_FILTERS = "[]"


class Front:
    """`teller` sets aside what a request may take: once more where filters made more of it, or it is continued."""

    def __init__(self, delivery: RouteDelivery, cache: Cache, teller: Teller) -> None:
        self._delivery = delivery
        self._cache = cache
        self._teller = teller
        self._secret_of = delivery.secrets.at

    async def deliver(self, call: Call, route: Route) -> None:
        """Raises as `RouteDelivery.deliver` does, and ApiError where the route or a filter refuses it or its answer."""
        if call.request.document.get("stream") and not route.streaming:
            raise ApiError(400, "unsupported", f"The route '{route.name}' does not stream.", param="stream")
        if route.filters == NO_FILTERS and route.cache is None and not route.continuation:
            return await self._delivery.deliver(call, route)
        filters = build_filters(route.filters, self._secret_of)
        key = call.key
        context = Context(key.name, key.organization, route.name, call.request.model, call.client.request_id)
        call.request = filters.on_request(call.request, context)
        bound = bound_of(call.request)
        if bound.prompt > call.bound.prompt or bound.completion > call.bound.completion:
            call.bound = bound
            await self._teller.admit(call)
        call.to_backend = partial(filters.to_backend, context=context)
        ask = None
        if route.cache is not None:
            ask = ask_of(
                call.request, call.scope["headers"], f"{route.gateway}/{route.name}", key.organization, route.cache
            )
        if ask is not None:
            call.request = as_chat(call.request)  # kept and told again as one, whichever API it was asked in
        head = partial(filters.to_client, context=context)
        looking = partial(filters.answering, context)
        call.answer = answer = RouteAnswer(call.answer, head, looking, keeps=ask is not None)
        if ask is None:
            return await self._asked(call, route)
        return await self._cached(call, route, answer, ask)

    async def _cached(self, call: Call, route: Route, answer: RouteAnswer, ask: Ask) -> None:
        if (found := await self._cache.find(ask)) is not None:
            return await self._again(call, found)
        await self._asked(call, route)
        if not call.taken.cut and (completion := answer.completion()) is not None:
            usage = call.taken.usage
            told = {"usage": usage.for_chat()} if usage is not None else {}
            self._cache.keep(ask, told | completion, call.cost(call.took()))
        return None

    async def _asked(self, call: Call, route: Route) -> None:
        """By backends: one, or where its stream breaks off and may be continued, others after it."""
        chat = as_chat(call.request) if route.continuation else call.request
        if not route.continuation or not may_continue(chat):
            return await self._delivery.deliver(call, route)
        call.request = chat  # a chat is what can be continued, whichever API it was asked in
        call.answer = answer = ContinuedAnswer(call.answer)
        part, barred = call, passed_over(route, {})
        await self._delivery.deliver(call, route)
        while answer.joined.broken and answer.joined.plain and len(call.continued) < MOST:
            barred = passed_over(route, {**barred, part.backend: "its answer broke off"})
            tokens = sum(one.took().completion for one in (call, *call.continued))
            request = rest_of(chat, answer.joined.text, tokens)
            part = replace(call, request=request, bound=bound_of(request), barred=barred)
            part.taken, part.reserved, part.continued = Taken(), None, []
            if not await self._continues(part, route):
                break
            call.continued.append(part)
        call.taken.cut = bool(answer.joined.broken)
        if answer.joined.broken:
            await answer.give_up()
        return None

    async def _continues(self, part: Call, route: Route) -> bool:
        """Whether anybody told more. It is charged as a request of its own, with an error where nobody did."""
        told = False
        try:
            await self._teller.admit(part)
            await self._delivery.deliver(part, route)
            told = True
        except ApiError:
            pass  # the client has an answer already, and is told that it is not whole
        finally:
            self._teller.close(part, whole=told and not part.taken.cut)
        return told

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

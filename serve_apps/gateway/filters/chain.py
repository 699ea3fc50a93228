"""The filters of a route, in their order: what the delivery of a request calls.

    filters = build_filters(route.filters, secrets.at)           # the same object from one request to the next
    context = Context(key.name, organization, route.name, request.model, request_id)     # one for each request
    asked = filters.on_request(request, context)                 # once, before the first attempt
    out = outgoing(asked, spec, ...)                             # of each attempt; answer.expect(request, ...) stays
    headers = filters.to_backend(out.headers, context)
    answering = filters.answering(context)                       # new for each attempt; None: pass bytes as they are
    told = filters.to_client(headers, context)

A chat's whole answer goes through `answering.whole(document)`, after `out.whole` and before the client's own API; what
a relay's `feed` and `finish` return through `answering.feed` and at last `answering.finish`. Where the answer is looked
at, `on_request` gives a chat, so that no backend is spoken to natively. A request that is refused is not tried again
(ApiError 400), nor is one of a route that cannot filter (503). Once `answering.rejected` is set, stop reading: its
error event was the last; where nothing was passed on before it, answer with that error instead (a refused Fault).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from control.specs.filters import UNTOUCHED
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import SERVER, ApiError, FilterError
from serve_apps.gateway.filters.answers import AnswerFilter
from serve_apps.gateway.filters.filter import Context, Filter, Json, Part, Rejected, TextFilter, Unusable
from serve_apps.gateway.surface import SURFACES, as_chat

log = logging.getLogger("biplane.gateway")
Headers = Iterable[tuple[bytes, bytes]]


class Filters:
    """`unusable` says why the route answers nothing, empty where it does."""

    def __init__(self, filters: Sequence[Filter], unusable: str = "") -> None:
        self.unusable = unusable
        self._filters = filters
        self._asked = [one for one in filters if _overrides(one, "request")]
        self._answered = [one for one in reversed(filters) if _overrides(one, "answer")]
        self._to_backend = [one for one in filters if _overrides(one, "to_backend")]
        self._to_client = [one for one in reversed(filters) if _overrides(one, "to_client")]

    def on_request(self, request: Request, context: Context) -> Request:
        """The same request where nothing is changed, and no filter will look at its answer. Raises ApiError."""
        if self.unusable:
            raise _unavailable(context.route, self.unusable)
        if not self._filters:
            return request
        try:
            chat = as_chat(request)
            document = chat.document
            for one in self._asked:
                document = one.request(document, context)
        except ApiError:
            raise
        except Rejected as why:
            raise _refused(why) from None
        except Exception:
            raise _failed(context) from None
        if document is not chat.document:
            return _said(chat, document)
        return chat if request.path in SURFACES and self._looking(context) else request

    def answering(self, context: Context) -> AnswerFilter | None:
        """None where no filter looks at answers. Raises ApiError."""
        looking = self._looking(context)
        if not looking:
            return None

        def chain(part: Part) -> list[TextFilter]:
            return [_Guarded(made, context) for one in looking if (made := one.answer(part, context)) is not None]

        return AnswerFilter(chain)

    def to_backend(self, headers: Headers, context: Context) -> list[tuple[bytes, bytes]]:
        return self._headers(headers, context, [one.to_backend for one in self._to_backend])

    def to_client(self, headers: Headers, context: Context) -> list[tuple[bytes, bytes]]:
        return self._headers(headers, context, [one.to_client for one in self._to_client])

    def _looking(self, context: Context) -> list[Filter]:
        try:
            return [one for one in self._answered if any(one.answer(part, context) is not None for part in Part)]
        except Exception:
            raise _failed(context) from None

    def _headers(
        self, headers: Headers, context: Context, changes: Sequence[Callable[[dict[str, str], Context], dict[str, str]]]
    ) -> list[tuple[bytes, bytes]]:
        if not changes:
            return list(headers)
        decoded = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
        told = {name: value for name, value in decoded if name not in UNTOUCHED}
        kept = [(name, value) for name, value in decoded if name in UNTOUCHED]
        try:
            for change in changes:
                told = change(told, context)
            kept += [(name, value) for name, value in told.items() if name not in UNTOUCHED]
            return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept]
        except Unusable as why:
            raise _unavailable(context.route, str(why)) from None
        except Exception:
            raise _failed(context) from None


class _Guarded:
    """A text filter that ends the answer where it refuses it or fails: what it did not look at is not passed on."""

    def __init__(self, inner: TextFilter, context: Context) -> None:
        self._inner, self._context = inner, context

    def feed(self, text: str) -> str:
        return self._told(lambda: self._inner.feed(text))

    def finish(self) -> str:
        return self._told(self._inner.finish)

    def _told(self, act: Callable[[], str]) -> str:
        try:
            return act()
        except Rejected as why:
            raise _refused(why) from None
        except Exception:
            raise _failed(self._context) from None


def _overrides(one: Filter, name: str) -> bool:
    return getattr(type(one), name) is not getattr(Filter, name)


def _said(request: Request, document: Json) -> Request:
    """The parts of a request that were read from its document are read again."""
    raw = json.dumps(document).encode()
    prompt = document.get("messages", document.get("prompt"))
    return replace(request, raw=raw, document=document, prompt=prompt)


def _refused(why: Rejected) -> FilterError:
    return FilterError(400, why.code, why.message)


def _unavailable(route: str, why: str) -> FilterError:
    message = f"The route '{route}' is not available now: {why}."
    return FilterError(503, "filter_unavailable", message, kind=SERVER, headers=((b"retry-after", b"2"),))


def _failed(context: Context) -> FilterError:
    log.exception("a filter of the route '%s' failed", context.route)
    return FilterError(500, "filter_failed", f"A filter of the route '{context.route}' failed.", kind=SERVER)

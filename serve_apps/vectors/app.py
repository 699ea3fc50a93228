"""The vectors API: collections' points written, read and searched, as one ASGI application.

Raw ASGI, and every refusal is an OpenAI error. It knows whose request it is no more: the gateway has looked at the key.
Each request has a deadline of its own and is dropped when its client leaves; there is a bound to how many are worked
on, and to the bytes of their bodies. Nothing is stored: a crash costs the requests in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from actors.vectors.answers import Failed, Unanswered, UnknownCollection, UnknownToken
from actors.vectors.replication.errors import Degraded
from control.specs.collection import CollectionSpec
from serve_apps.gateway import errors
from serve_apps.gateway.admission import Admission
from serve_apps.gateway.answer import JSON, Answer
from serve_apps.gateway.body import ClientGone, declared_bytes, read_body
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.inbox import Inbox
from serve_apps.gateway.pool import Pool
from serve_apps.gateway.presence import while_there
from serve_apps.gateway.request_id import identify
from serve_apps.vectors import refusals
from serve_apps.vectors.arrow_batch import CONTENT_TYPE
from serve_apps.vectors.aside import aside
from serve_apps.vectors.bodies import Body, Count, Delete, Fetch, Read, Scroll, Search, Update, Upsert, Writing
from serve_apps.vectors.embedding import Embedding
from serve_apps.vectors.limits import MOST_BODY_BYTES
from serve_apps.vectors.openapi import OPENAPI
from serve_apps.vectors.paths import COLLECTIONS, DOCUMENT
from serve_apps.vectors.points import Points
from serve_apps.vectors.searching import Searching
from serve_apps.vectors.shards import Shards

log = logging.getLogger("biplane.vectors")

MOST_AT_ONCE = 512
MOST_WAITING = 1024
MOST_BYTES = 1 << 28
"""Of the bodies of requests that are worked on."""
PATIENCE_SECONDS = 5.0
GRACE_SECONDS = 0.25
"""What shards have beyond a request's deadline to say that it is over."""
Work = Callable[[str, CollectionSpec, Any, float], Awaitable[bytes]]


class Operation(NamedTuple):
    """What a method of a path does: the form of its body, and the work."""

    body: type[Body]
    decode: Callable[[bytes], Any]
    work: Work


class Vectors:
    """The ASGI application."""

    def __init__(self, shards: Shards, embedding: Embedding) -> None:
        points, searching = Points(shards, embedding), Searching(shards, embedding)
        self._shards = shards
        self._arrow = points.upsert_arrow
        self._operations: Mapping[str, Mapping[str, Operation]] = {
            "points": {"POST": _operation(Upsert, points.upsert), "PATCH": _operation(Update, points.update)},
            "points/delete": {"POST": _operation(Delete, points.delete)},
            "points/fetch": {"POST": _operation(Fetch, points.fetch)},
            "points/scroll": {"POST": _operation(Scroll, points.scroll)},
            "points/count": {"POST": _operation(Count, points.count)},
            "search": {"POST": _operation(Search, searching.search)},
        }
        self._pool = Pool(Admission(MOST_AT_ONCE, MOST_WAITING, MOST_BYTES))
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _not_http(scope, receive, send)
        answer = Answer(send, scope["method"] == "HEAD", identify(scope))
        self.in_flight += 1
        try:
            await self._dispatch(scope, receive, answer)
        except ApiError as error:
            await answer.error(error)
        except ClientGone:
            return None
        except Exception:
            if answer.started:
                raise
            log.exception("a request failed inside the vectors API")
            await answer.error(refusals.internal_error())
        finally:
            self.in_flight -= 1

    async def _dispatch(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        path, method = scope["path"].rstrip("/"), scope["method"]
        if path in (DOCUMENT, COLLECTIONS):
            _require_method(method, ("GET", "HEAD"))
            return await answer.json(OPENAPI if path == DOCUMENT else self._listed())
        name, _, rest = path.removeprefix(COLLECTIONS + "/").partition("/")
        if not path.startswith(COLLECTIONS + "/") or (rest and rest not in self._operations):
            raise errors.unknown_path(scope["path"])
        operations = self._operations.get(rest)
        _require_method(method, tuple(operations) if operations else ("GET", "HEAD"))
        row = self._shards.table.rows.get(name)
        if row is None:
            raise refusals.no_collection(name, self._shards.table.rows)
        if operations is None:
            return await answer.json(_described(name, row.spec))
        return await self._work(operations[method], name, row.spec, scope, Inbox(receive), answer)

    async def _work(
        self, operation: Operation, name: str, spec: CollectionSpec, scope: Scope, inbox: Inbox, answer: Answer
    ) -> None:
        began = asyncio.get_running_loop().time()
        size = declared_bytes(scope, MOST_BODY_BYTES)
        async with self._pool.turn("normal", size, PATIENCE_SECONDS, inbox.left) as turn:
            raw = await read_body(inbox.receive, MOST_BODY_BYTES)
            turn.shrink(len(raw))
            if operation.body is Upsert and _content_type(scope) == CONTENT_TYPE:
                body, work = _options(scope), self._of_arrow(raw)
            else:
                body, work = await aside(len(raw), lambda: _decoded(operation, raw)), operation.work

            async def answered() -> None:
                deadline = began + body.timeout_ms / 1000
                told = await _in_time(work(name, spec, body, deadline), deadline, body, name)
                await answer.whole(200, told, [JSON])

            await while_there(inbox.receive, answered())

    def _of_arrow(self, raw: bytes) -> Work:
        return lambda name, spec, body, deadline: self._arrow(name, spec, raw, body, deadline)

    def _listed(self) -> dict[str, Any]:
        known = self._shards.table.rows
        return {"collections": [_described(name, known[name].spec) for name in sorted(known)]}


async def _in_time(work: Awaitable[bytes], deadline: float, body: Any, name: str) -> bytes:
    """Raises ApiError for whatever the shards raise."""
    try:
        async with asyncio.timeout_at(deadline + GRACE_SECONDS):
            return await work
    except TimeoutError:
        raise refusals.too_late(body.timeout_ms, writes=not isinstance(body, Read)) from None
    except UnknownCollection:  # it was deleted meanwhile
        raise refusals.no_collection(name, ()) from None
    except UnknownToken:
        raise refusals.no_token() from None
    except Failed as error:
        raise refusals.not_written(error) from None
    except (Unanswered, Degraded) as error:
        raise refusals.unanswered(error) from None


def _operation(body: type[Body], work: Work) -> Operation:
    return Operation(body, msgspec.json.Decoder(body).decode, work)


def _decoded(operation: Operation, raw: bytes) -> Any:
    try:
        return operation.decode(raw)
    except msgspec.ValidationError as error:
        raise refusals.misshapen(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.invalid_json(str(error)) from None
    except RecursionError:
        raise errors.invalid_json("it is nested too deeply") from None


def _options(scope: Scope) -> Writing:
    """Of a request whose body is no JSON: in the address."""
    try:
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), strict_parsing=bool(scope["query_string"])))
        return msgspec.convert(given, Writing, strict=False)
    except msgspec.ValidationError as error:
        raise refusals.misshapen(str(error)) from None
    except ValueError as error:
        raise refusals.invalid("query", str(error), "acknowledge and timeout_ms") from None


def _content_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1")).partition(";")[0].strip().lower()
    return ""


def _described(name: str, spec: CollectionSpec) -> dict[str, Any]:
    return {"name": name, **spec.model_dump(mode="json")}


def _require_method(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        raise errors.method_not_allowed(method, allowed)


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1003})
    for message in ("lifespan.startup", "lifespan.shutdown"):
        await receive()
        await send({"type": f"{message}.complete"})
    return None

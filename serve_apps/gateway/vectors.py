"""Requests for collections of vectors: from their keys and limits on to a replica of the vectors API, byte for byte.

What each collection can do the API knows; the gateway knows who may ask. Kept in memory: which replica has how many
requests of ours, and which could not be reached lately. A crash costs the requests in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic

from starlette.types import Receive, Scope

from serve_apps.gateway import errors
from serve_apps.gateway.accounts.bound import Bound
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request, declared_bytes, read_body
from serve_apps.gateway.call import Call
from serve_apps.gateway.endpoints import Endpoint
from serve_apps.gateway.errors import SERVER, ApiError
from serve_apps.gateway.inbox import Inbox
from serve_apps.gateway.keys import Key
from serve_apps.gateway.pool import PATIENCE_SECONDS, Pool
from serve_apps.gateway.presence import while_there
from serve_apps.gateway.proxy import NOT_FORWARDED, NOT_RETURNED, Timeouts
from serve_apps.gateway.record import Unread
from serve_apps.gateway.recorder import Recorder
from serve_apps.gateway.replicas import Server, least_loaded
from serve_apps.gateway.routes import QUARANTINE_SECONDS
from serve_apps.gateway.table import Replica, Table
from serve_apps.gateway.wire import Wire, Wires, locate
from serve_apps.vectors.limits import MOST_BODY_BYTES, MOST_TIMEOUT_MS
from serve_apps.vectors.paths import BEAT_NAME, COLLECTIONS, DOCUMENT

METHODS = ("GET", "POST", "PATCH")
SILENCE_SECONDS = MOST_TIMEOUT_MS / 1000 + 5
"""An answer comes as a whole, when all of it is known."""
NAME = "vectors/"
"""What a collection's name has before it among the models of a key."""


class VectorsProxy:
    def __init__(self, pool: Pool, teller: Teller, recorder: Recorder, internal_key: str, timeouts: Timeouts) -> None:
        self._pool = pool
        self._teller = teller
        self._recorder = recorder
        self._timeouts = timeouts
        self._authorization = b"authorization: Bearer " + internal_key.encode() + b"\r\n"
        self._servers: dict[str, Server] = {}
        self._wires = Wires()
        self._turn = 0
        self.close = self._wires.close

    def learn(self, known: Mapping[str, Endpoint]) -> None:
        """What replicas say of themselves. One that is gone has its last requests until they ended."""
        for app in self._servers.keys() | known.keys():
            if app.startswith(BEAT_NAME):
                server = self._servers.setdefault(app, Server(Replica(app, "")))
                server.learn(known.get(app))
        self._servers = {app: one for app, one in self._servers.items() if app in known or one.in_flight}

    async def answer(self, scope: Scope, receive: Receive, answer: Answer, table: Table, key: Key) -> None:
        """Raises ApiError."""
        if scope["method"] not in METHODS:
            raise errors.method_not_allowed(scope["method"], METHODS)
        model = NAME + _collection(scope["path"])
        if scope["path"] != DOCUMENT and not key.may_use(model, None):
            raise _not_allowed(key, model)
        began, raw, inbox, call = monotonic(), None, Inbox(receive), None
        try:
            size = declared_bytes(scope, MOST_BODY_BYTES)
            async with self._pool.turn(key.priority, size, PATIENCE_SECONDS, inbox.left) as turn:
                raw = await self._body(inbox.receive)
                turn.shrink(len(raw))
                request = Request(scope["path"], raw, model, "", None, {})
                call = Call(request, request, scope, answer, answer, table, key, None, Bound(0, 0, True))
                await while_there(inbox.receive, self._recorded(call))
        except BaseException as error:
            if call is None:
                self._recorder.unread(Unread(scope["path"], key, raw, began), answer, error)
            raise

    async def _body(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._timeouts.body_s):
                return await read_body(receive, MOST_BODY_BYTES)
        except TimeoutError:
            raise errors.request_too_slow(self._timeouts.body_s) from None

    async def _recorded(self, call: Call) -> None:
        error: BaseException | None = None
        try:
            await self._counted(call)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._recorder.end(call, call.client, error)

    async def _counted(self, call: Call) -> None:
        """A request is one of the key's and of its organisation's; of tokens and money it takes nothing."""
        await self._teller.admit(call)
        whole = False
        try:
            await self._deliver(call)
            whole = True
        finally:
            self._teller.close(call, whole=whole)

    async def _deliver(self, call: Call) -> None:
        """To another replica only where the one before had nothing of it."""
        tried: list[Server] = []
        fresh = False
        while True:
            server = self._pick(tried)
            server.in_flight += 1
            try:
                wire = await self._connected(server, fresh=fresh)
                if wire is None:
                    tried.append(server)
                elif await self._exchanged(call, server, wire):
                    return
                else:
                    fresh = True
            finally:
                server.in_flight -= 1

    def _pick(self, tried: Sequence[Server]) -> Server:
        """The one with the fewest requests of ours, of those that are well before those that are not."""
        left = [one for one in self._servers.values() if one not in tried and one.direct]
        if not left:
            reason = "none of its replicas can be reached" if tried else "it is starting, or there is no collection"
            raise _unavailable(reason)
        now = monotonic()
        best = min(one.level(now) for one in left)
        self._turn += 1
        return least_loaded([one for one in left if one.level(now) == best], self._turn)

    async def _connected(self, server: Server, *, fresh: bool) -> Wire | None:
        """None where it takes no connection: it was sent nothing."""
        origin, _, _ = locate(server.direct)
        try:
            to = self._wires.fresh if fresh else self._wires.to
            return await to(origin, self._timeouts.eager_connect_s)
        except OSError:  # TimeoutError is one
            server.avoided_until = monotonic() + QUARANTINE_SECONDS
            return None

    async def _exchanged(self, call: Call, server: Server, wire: Wire) -> bool:
        """False where a kept connection was closed with the request on its way: as a rule nobody had it, and every
        request of this API may be repeated.
        """
        request = _request(call, server, self._authorization)
        until = asyncio.get_running_loop().time() + SILENCE_SECONDS
        try:
            try:
                await wire.ask(request, SILENCE_SECONDS, until)
            except ConnectionError:
                if wire.stale:
                    return False
                raise
            if wire.status == 401:
                raise _unavailable("its replica refused the gateway")
            if wire.status != errors.NOT_FOUND:
                call.backend = call.asked.model
            headers = [one for one in wire.headers if one[0] not in NOT_RETURNED]
            await call.answer.start(wire.status, headers)
            while part := await wire.chunk():
                await call.answer.part(part)
            await call.answer.part(b"", last=True)
            return True
        except TimeoutError:
            raise _late() from None
        except ConnectionError:
            raise _unavailable("its replica broke off; a write may be sent again") from None
        finally:
            self._wires.give_back(wire)


def _request(call: Call, server: Server, authorization: bytes) -> bytes:
    scope, raw = call.scope, call.request.raw
    _, host, _ = locate(server.direct)
    path = scope.get("raw_path") or scope["path"].encode()
    query = b"?" + scope["query_string"] if scope.get("query_string") else b""
    lines = [b"%b %b%b HTTP/1.1\r\nhost: %b\r\n%b" % (scope["method"].encode(), path, query, host, authorization)]
    lines += [
        b"%b: %b\r\n" % (name, value)
        for name, value in scope["headers"]
        if name not in NOT_FORWARDED or name == b"content-type"
    ]
    return b"".join([*lines, b"content-length: %d\r\n\r\n" % len(raw), raw])


def _collection(path: str) -> str:
    """Empty for what is of no single one: only who may use all of them may ask."""
    return path.removeprefix(COLLECTIONS + "/").partition("/")[0] if path.startswith(COLLECTIONS + "/") else ""


def _not_allowed(key: Key, model: str) -> ApiError:
    asked = f"the collection '{errors.short_name(model.removeprefix(NAME))}'" if model != NAME else "all collections"
    wanted = f"'{errors.short_name(model)}'" if model != NAME else f"'{NAME}*'"
    message = f"The API key '{key.name}' may not be used for {asked}: its models do not name {wanted}."
    return ApiError(403, "collection_not_allowed", message, kind=errors.PERMISSION)


def _unavailable(reason: str) -> ApiError:
    retry = (b"retry-after", b"1")
    message = f"The vectors API is not available now: {reason}."
    return ApiError(503, "vectors_unavailable", message, kind=SERVER, headers=(retry,))


def _late() -> ApiError:
    return ApiError(504, "upstream_timeout", "The vectors API did not answer in time.", kind=SERVER)

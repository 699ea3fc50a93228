"""Requests for models, each from its place among those worked on to its end: read, answered, charged, recorded.

Stores nothing: a crash costs the requests in flight.
"""

import asyncio
from time import monotonic

from starlette.types import Receive, Scope

from serve_apps.gateway import errors
from serve_apps.gateway.accounts.bound import bound_of
from serve_apps.gateway.accounts.teller import Teller
from serve_apps.gateway.answer import Answer
from serve_apps.gateway.auth import authorize, usable
from serve_apps.gateway.body import CHAT, COMPLETIONS, EMBEDDINGS, Request, declared_bytes, parse_request, read_body
from serve_apps.gateway.call import Call
from serve_apps.gateway.delivery import Delivery
from serve_apps.gateway.front import Front
from serve_apps.gateway.inbox import Inbox
from serve_apps.gateway.keys import Key
from serve_apps.gateway.pool import PATIENCE_SECONDS, Pool
from serve_apps.gateway.presence import while_there
from serve_apps.gateway.record import Unread
from serve_apps.gateway.recorder import Recorder
from serve_apps.gateway.surface import SURFACES, as_chat
from serve_apps.gateway.table import Table
from serve_apps.gateway.table_holder import TableHolder
from serve_apps.gateway.ways import Ways

GENERATING = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, *SURFACES})
"""The paths of such requests."""


class Generation:
    """`here` answers for the models that are served here, `front` for those that `ways` lead to. A client may take
    `body_s` seconds to send its request, for which there is a place in the `pool`.
    """

    def __init__(
        self,
        holder: TableHolder,
        ways: Ways,
        front: Front,
        here: Delivery,
        teller: Teller,
        recorder: Recorder,
        body_s: float,
        pool: Pool,
    ) -> None:
        self._holder = holder
        self._ways = ways
        self._front = front
        self._here = here
        self._teller = teller
        self._recorder = recorder
        self._body_s = body_s
        self._pool = pool

    async def answer(self, scope: Scope, receive: Receive, answer: Answer, table: Table, key: Key, path: str) -> None:
        """Answers one request for a model, which is recorded whether it could be read or not."""
        began, raw, request, inbox = monotonic(), None, None, Inbox(receive)
        try:
            size = declared_bytes(scope, table.max_body_bytes)
            async with self._pool.turn(key.priority, size, PATIENCE_SECONDS, inbox.left) as turn:
                raw = await self._body(inbox.receive, table.max_body_bytes)
                turn.shrink(len(raw))
                request = parse_request(path, raw)
                await while_there(inbox.receive, self._answer(request, scope, answer, table, key))
        except BaseException as error:
            if request is None:
                self._recorder.unread(Unread(path, key, raw, began), answer, error)
            raise

    async def _body(self, receive: Receive, limit: int) -> bytes:
        """Raises ApiError 408 where it does not come in time, and as `read_body` does."""
        try:
            async with asyncio.timeout(self._body_s):
                return await read_body(receive, limit)
        except TimeoutError:
            raise errors.request_too_slow(self._body_s) from None

    async def _answer(self, request: Request, scope: Scope, answer: Answer, table: Table, key: Key) -> None:
        table = self._holder.table or table  # a body may take long to come: by then there may be a newer table
        route = None if request.model in table.models else self._ways.route(request.path, request.model)
        call = Call(request, request, scope, answer, answer, table, key, route, bound_of(request))
        error: BaseException | None = None
        self._recorder.begin(call)
        try:
            await self._charged(call)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._recorder.end(call, answer, error)

    async def _charged(self, call: Call) -> None:
        """What it may take is set aside before, what it took is paid after."""
        authorize(call.key, call.request.model, call.route.name if call.route else None)
        await self._teller.admit(call)
        route, whole = call.route, False
        try:
            if route is not None:
                await self._front.deliver(call, route)
            else:
                await self._serve(call)
            whole = not call.taken.cut
        finally:
            self._teller.close(call, whole=whole)

    async def _serve(self, call: Call) -> None:
        """By a model that is served here."""
        call.answer.expect(call.asked, native=False)
        call.request = as_chat(call.request)
        if call.request.model not in call.table.models:
            raise errors.model_not_found(call.request.model, usable(call.table.models, call.key))
        await self._here.deliver(call)

"""Copies of requests for versions that are on trial. A copy is sent when its request was answered, so that it can
neither delay nor fail the answer; what comes back is counted and thrown away.

Copies in flight are held in memory, boundedly: what comes beyond is dropped and counted. A crash loses them.
"""

import asyncio

from starlette.types import Message, Scope

from serve_apps.gateway.answer import Answer
from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import ApiError
from serve_apps.gateway.exchange import Exchange
from serve_apps.gateway.figures import Figures
from serve_apps.gateway.replicas import Visit
from serve_apps.gateway.routes import Target
from serve_apps.gateway.taken import Taken

IN_FLIGHT = 32


class Mirror:
    def __init__(self, exchange: Exchange, figures: Figures) -> None:
        self._exchange = exchange
        self._figures = figures
        self._flying: set[asyncio.Task[None]] = set()

    def send(self, shadow: Target, request: Request, scope: Scope) -> None:
        if len(self._flying) >= IN_FLIGHT:
            self._figures.shadows_dropped += 1
            return
        copy = asyncio.create_task(self._send(shadow, request, scope))
        self._flying.add(copy)
        copy.add_done_callback(self._flying.discard)

    async def _send(self, shadow: Target, request: Request, scope: Scope) -> None:
        server = shadow.server
        visit = Visit(server, shadow.slot.arm, server.url, request.model, mirrored=True)
        try:
            await self._exchange.answer(
                visit, request, scope, Answer(_nobody, head_only=False, request_id=b""), Taken()
            )
        except ApiError:
            return  # counted where it was met

    def close(self) -> None:
        for copy in self._flying:
            copy.cancel()


async def _nobody(message: Message) -> None:
    """Takes an answer that nobody waits for."""

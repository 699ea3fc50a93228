"""A replica's own HTTP server: its application on a port of its node, beside Serve's and without its code, which costs
twice what a gateway does with a request.

It lives in the replica's event loop and ends with its process; a crash leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.http_protocol import BoundedProtocol

KEEP_ALIVE_SECONDS = 600
"""Longer than gateways keep an idle connection: one that the server closes just when a request comes breaks it."""
SWITCH_SECONDS = 0.0005
"""How long a thread that reads or writes the store may hold up the event loop: Python's 5 ms are seen in streams."""
_POLL_SECONDS = 0.01


class ReplicaServer(uvicorn.Server):
    """Serves `app` from `start` to `close`. The application's lifespan is that of this server."""

    def __init__(self, app: ASGIApp, host: str, port: int = 0) -> None:
        """On a free port, or on `port`, which the replicas of a node share: the kernel spreads connections over them.

        Raises OSError where `host`, an IP address, is none of this node's, or where somebody else has the port.
        """
        self._socket = socket.socket(_family(host))
        if port:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((host, port))
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are Ray's business."""
        yield

    async def start(self) -> None:
        """Returns when it answers. Raises RuntimeError where the application's lifespan fails."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._serving = asyncio.create_task(self._serve_to_the_end())
        while not self.started:
            if self._serving.done():
                raise RuntimeError("the engine's application did not start: its lifespan failed") from (
                    self._serving.exception()
                )
            await asyncio.sleep(_POLL_SECONDS)

    @property
    def ended(self) -> bool:
        return self._serving.done()

    async def close(self) -> None:
        """Take no new connection, close idle ones, and return when the last request in flight has its answer."""
        self.should_exit = True
        await self._serving

    async def _serve_to_the_end(self) -> None:
        try:
            await self.serve(sockets=[self._socket])
        except SystemExit as stopped:  # uvicorn's word for a failed lifespan; it would end Ray's worker
            raise RuntimeError(f"uvicorn stopped with {stopped.code}") from None


def free_port(host: str) -> int:
    """A port of `host`, an IP address, that nobody listens on now, for somebody else to listen on at once."""
    with socket.create_server((host, 0), family=_family(host)) as probe:
        return int(probe.getsockname()[1])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6


class WithoutLifespan:
    """ASGI application for Serve: the same one, but its beginning and end are the business of ReplicaServer.

    Serve ends it before it calls the replica's destructor, and an application that has ended cannot answer the
    requests that ReplicaServer still has.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        for message in ("lifespan.startup", "lifespan.shutdown"):
            await receive()
            await send({"type": f"{message}.complete"})

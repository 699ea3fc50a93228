"""HTTP/1.1 as the replicas' servers speak it: uvicorn's protocol with bounds of our own. Nothing is stored."""

from __future__ import annotations

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 1 << 16
"""Bytes of a request's line and headers: the parser itself has no limit."""
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


class JoinedWrites:
    """A transport to uvicorn: what is written in one turn of the event loop goes out at its end, in one packet.

    uvloop sends each write at once, and uvicorn writes head and body apart: a system call and a wake-up of the client
    more for every answer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._held: list[bytes] = []
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def write(self, data: bytes) -> None:
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if held := self._held:
            self._held = []
            if not self.is_closing():  # the client may have left meanwhile
                self._transport.write(held[0] if len(held) == 1 else b"".join(held))


class BoundedProtocol(HttpToolsProtocol):
    """Heads of requests end, upgrades are declined, trailers do not count as headers.

    Of a request that offers an upgrade (some clients offer HTTP/2 on every first request) the parser leaves out the
    body, which would then be read as another request. Declining is ignoring the offer (RFC 9110, 7.8).
    """

    _in_body = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        if not self._in_body and (b"pgrade:" in data or b"PGRADE:" in data):
            end = data.find(b"\r\n\r\n") + 2
            data = _UPGRADE.sub(b"", data[:end]) + data[end:]
        super().data_received(data)
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of a request is longer than {MOST_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        self._in_body, self._head = True, 0
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._head = False, 0
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """The offer came in pieces and was not seen in time."""
        self.send_400_response("Upgrades are not supported.")

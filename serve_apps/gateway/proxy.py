"""The way to the engines: what of a request and an answer goes through it, and which of its failures means what.

Holds open connections only. A crash drops them; the engines see their clients leave and abort the requests.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import Scope

from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import Failure, model_unavailable, upstream_timeout
from serve_apps.gateway.replicas import Visit
from serve_apps.gateway.upstream_error import of_engine
from serve_apps.gateway.wire import Headers, Wire, Wires, locate

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
# Credentials are the gateway's to check; the others are set anew for the upstream request.
NOT_FORWARDED = HOP_BY_HOP | frozenset(
    b"host content-length content-type authorization cookie x-api-key accept-encoding expect x-biplane-shadow"
    b" x-request-disconnect-disabled http2-settings".split()
)
NOT_RETURNED = HOP_BY_HOP | frozenset(b"content-length server date set-cookie x-request-id".split())


LEAST_CONNECT_S = 0.025
"""What an engine that is well needs to accept a connection."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `silence_s` bounds the wait for the next byte, the first one included; `total_s` the whole answer, from
    the first try on; `eager_connect_s` the first wait for a connection where another replica can take the request. Each
    further one is half as long, so that all of them together are less than a second. `body_s` bounds how long a client
    may take to send its request, which has a place among those that are worked on.
    """

    connect_s: float = 2.0
    eager_connect_s: float = 0.4
    silence_s: float = 120.0
    total_s: float = 600.0
    body_s: float = 60.0


class Upstream:
    """A request is a `connect` and a `send`, of several at once; every connection that was given is to be released."""

    def __init__(self, internal_key: str, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._wires = Wires()
        self._head = (
            b"content-type: application/json\r\n"
            b"authorization: Bearer " + internal_key.encode() + b"\r\n"
            # Else Serve cancels the handler when we leave, which vLLM's wrapper does not pass on to the generation it
            # waits for: the engine would generate to the end. Left alone, vLLM sees the disconnect and aborts.
            b"x-request-disconnect-disabled: ?1\r\n"
        )
        self.close, self.release = self._wires.close, self._wires.give_back

    async def connect(self, visit: Visit, request: Request) -> Wire:
        """A connection to the visited engine. Raises ApiError 503 where there is none to be had."""
        times = self._timeouts
        hurried = max(times.eager_connect_s / 2 ** (visit.hurry - 1), LEAST_CONNECT_S)
        try:
            origin, _, _ = locate(visit.url + request.path)
            return await self._wires.to(origin, hurried if visit.hurry else times.connect_s)
        except TimeoutError:
            reason = "its server does not accept connections"
            raise model_unavailable(request.model, reason, Failure.UNREACHED) from None
        except (OSError, ValueError):
            raise model_unavailable(request.model, "its server cannot be reached", Failure.UNREACHED) from None

    async def send(self, wire: Wire, visit: Visit, request: Request, scope: Scope) -> None:
        """Returns when the answer's head is there.

        Raises ApiError, and the connection is released: 503 where the engine breaks off or answers with no OpenAI
        error, 504 where it says nothing for too long, and the engine's own error where it refuses the request.
        """
        times = self._timeouts
        until = asyncio.get_running_loop().time() + (times.total_s if visit.total_s is None else visit.total_s)
        _, host, path = locate(visit.url + request.path)
        lines = [b"POST %b HTTP/1.1\r\nhost: %b\r\n%b" % (path, host, self._head)]
        lines += [b"%b: %b\r\n" % (name, value) for name, value in scope["headers"] if name not in NOT_FORWARDED]
        if visit.mirrored:
            lines.append(b"x-biplane-shadow: 1\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(request.raw))
        lines.append(request.raw)
        try:
            await wire.ask(b"".join(lines), times.silence_s, until)
            if wire.status != 200:
                raise of_engine(request.model, wire.status, await wire.rest())
        except TimeoutError:
            wire.close()
            raise upstream_timeout(request.model) from None
        except ConnectionError:
            wire.close()
            raise model_unavailable(request.model, "its server broke off", Failure.BROKEN) from None
        except BaseException:
            self.release(wire)
            raise


async def read_answer(wire: Wire, model: str) -> bytes:
    """A whole answer that is not streamed. Raises ApiError 503 where it breaks off, 504 where it stalls."""
    try:
        return await wire.rest()
    except TimeoutError:
        raise upstream_timeout(model) from None
    except ConnectionError:
        raise model_unavailable(model, "its server stopped before the answer was complete", Failure.BROKEN) from None


def returned_headers(headers: Headers) -> Headers:
    """The upstream's response headers that the client gets to see."""
    return [header for header in headers if header[0] not in NOT_RETURNED]

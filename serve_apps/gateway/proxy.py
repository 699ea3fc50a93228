"""The way to the engines: one pooled HTTP client, and what of a request and an answer goes through it.

Holds open connections only. A crash drops them; the engines see their clients leave and abort the requests.
"""

from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy
from starlette.types import Scope

from serve_apps.gateway.body import Request
from serve_apps.gateway.errors import Failure, from_upstream, model_unavailable, upstream_timeout
from serve_apps.gateway.replicas import Visit

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
# Credentials are the gateway's to check; the others are set anew for the upstream request.
NOT_FORWARDED = HOP_BY_HOP | frozenset(
    b"host content-length content-type authorization cookie x-api-key accept-encoding expect x-biplane-shadow".split()
)
NOT_RETURNED = HOP_BY_HOP | frozenset(b"content-length server date set-cookie x-request-id".split())


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `silence_s` bounds the wait for the next byte, the first one included; `total_s` the whole answer, from
    the first try on; `eager_connect_s` the wait for a connection where another replica can take the request: two such
    waits, as many as a request makes before its last try, are less than a second.
    """

    connect_s: float = 2.0
    eager_connect_s: float = 0.4
    silence_s: float = 120.0
    total_s: float = 600.0


class Upstream:
    """Use as an asynchronous context manager; inside it, `send` may be called concurrently."""

    def __init__(self, internal_key: str, timeouts: Timeouts) -> None:
        self._authorization = f"Bearer {internal_key}"
        self._patient, self._eager = (
            aiohttp.ClientTimeout(total=timeouts.total_s, sock_connect=connect_s, sock_read=timeouts.silence_s)
            for connect_s in (timeouts.connect_s, timeouts.eager_connect_s)
        )

    async def __aenter__(self) -> "Upstream":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, visit: Visit, request: Request, scope: Scope) -> aiohttp.ClientResponse:
        """The answer of the visited engine with its body unread; the caller closes it.

        Raises ApiError: 503 where the engine cannot be reached or answers with no OpenAI error, 504 where it
        says nothing for too long, and the engine's own error where it refuses the request.
        """
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name not in NOT_FORWARDED
        }
        headers["content-type"] = "application/json"
        headers["authorization"] = self._authorization
        # Else Serve cancels the handler when we leave, which vLLM's wrapper does not pass on to the generation it
        # waits for: the engine would generate to the end. Left alone, vLLM sees the disconnect and aborts.
        headers["x-request-disconnect-disabled"] = "?1"
        if visit.mirrored:
            headers["x-biplane-shadow"] = "1"
        timeout = self._eager if visit.eager else self._patient
        if visit.total_s is not None:
            timeout = aiohttp.ClientTimeout(
                total=visit.total_s, sock_connect=timeout.sock_connect, sock_read=timeout.sock_read
            )
        try:
            response = await self._session.post(
                visit.url + request.path, data=request.raw, headers=headers, allow_redirects=False, timeout=timeout
            )
            if response.status == 200:
                return response
            async with response:
                raise from_upstream(request.model, response.status, await response.read())
        except aiohttp.ConnectionTimeoutError:
            reason = "its server does not accept connections"
            raise model_unavailable(request.model, reason, Failure.UNREACHED) from None
        except TimeoutError:
            raise upstream_timeout(request.model) from None
        except aiohttp.ClientConnectionError as error:
            failure = Failure.UNREACHED if isinstance(error, aiohttp.ClientConnectorError) else Failure.BROKEN
            raise model_unavailable(request.model, "its server cannot be reached", failure) from None
        except aiohttp.ClientError:
            raise model_unavailable(request.model, "its server broke off", Failure.BROKEN) from None


async def read_answer(response: aiohttp.ClientResponse, model: str) -> bytes:
    """A whole answer that is not streamed. Raises ApiError 503 where it breaks off, 504 where it stalls."""
    try:
        return await response.read()
    except TimeoutError:
        raise upstream_timeout(model) from None
    except aiohttp.ClientError:
        raise model_unavailable(model, "its server stopped before the answer was complete", Failure.BROKEN) from None


def returned_headers(headers: CIMultiDictProxy[str]) -> list[tuple[bytes, bytes]]:
    """The upstream's response headers that the client gets to see."""
    lowered = ((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())
    return [(name, value) for name, value in lowered if name not in NOT_RETURNED]

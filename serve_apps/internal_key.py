"""The internal key: what the gateway shows an engine, and what an engine's every route asks for.

The key lives in one file readable by the plane's user only. It is passed by *path*, so it never stands in a
Serve configuration or a runtime environment (the dashboard shows both); each process reads the file itself. A
crash leaves nothing behind: nothing here is written.
"""

import hashlib
import os
import secrets
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

ENVIRONMENT_VARIABLE = "VLLM_API_KEY"
REFUSAL = (
    b'{"error":{"message":"The internal key is required.","type":"authentication_error",'
    b'"param":null,"code":"invalid_api_key"}}'
)


def read_internal_key(path: str) -> str:
    """The key in the file at `path`, without surrounding white space.

    Raises OSError where the file cannot be read and ValueError where it is empty: no key must never mean no
    lock.
    """
    key = Path(path).read_text(encoding="ascii").strip()
    if not key:
        raise ValueError(f"internal key file {path} is empty")
    return key


class RequireInternalKey:
    """ASGI middleware, named to vLLM by import path: no route of the engine answers without the internal key.

    vLLM itself guards only paths under /v1; /metrics, /tokenize, /docs and the others would be open to
    whoever reaches the public port. Serve's own health check (`/-/healthz`) is answered before the engine's
    application and is not affected. Raises KeyError at start where the key was not claimed: fail closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._digest = hashlib.sha256(os.environ[ENVIRONMENT_VARIABLE].encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(REFUSAL)).encode()),
            ]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})

    def _is_allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                return scheme.lower() == b"bearer" and secrets.compare_digest(
                    hashlib.sha256(token.strip()).digest(), self._digest
                )
        return False

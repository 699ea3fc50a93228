"""An application of Ray Serve that answers the bench's 1 KB and does nothing else: what Serve itself costs.

Usage, in the environment of `biplane env`: python -m scripts.bench.gateway_echo ADDRESS. It stays when this ends.
"""

from __future__ import annotations

import sys

import ray
from ray import serve
from starlette.types import Receive, Scope, Send

from scripts.bench.gateway_answer import WHOLE

PREFIX = "/echo"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(WHOLE)).encode())]


class EchoApp:
    """The ASGI application. A request is read to its end, as every server of this API has to."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": WHOLE})


@serve.ingress(EchoApp())
class Echo:
    """The application as Serve takes it."""


def main() -> None:
    ray.init(address=sys.argv[1], log_to_driver=False)
    # As many replicas as the gateway has.
    deployment = serve.deployment(Echo, num_replicas=2, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
    serve.run(deployment.bind(), name="echo", route_prefix=PREFIX)


if __name__ == "__main__":
    main()

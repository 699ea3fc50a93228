"""The gateway as a Serve deployment: Serve starts, watches and replaces its replicas, and is not on a request's way.

Each replica answers on its own HTTP server, and those of a node share one port.
"""

import os
import pkgutil
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.deployment import Application

from serve_apps.gateway.app import Doors, Gateway
from serve_apps.gateway.spans import spans_of
from serve_apps.http_server import ReplicaServer
from serve_apps.internal_key import read_internal_key

DEFAULT_DOORS = {
    "read": "control.data_plane:read_gateway_table",
    "keys": "control.data_plane:read_api_keys",
    "engines": "control.data_plane:read_engines",
    "report": "control.data_plane:write_traffic",
    "wake": "control.data_plane:ask_to_wake",
    "ledger": "control.data_plane:report_to_ledger",
    "find": "control.data_plane:find_answer",
    "keep": "control.data_plane:keep_answer",
    "metrics": "control.metrics.page:render",
}
DRAIN_SECONDS = 60.0
"""How long a replica that Serve ends may take for the requests that it has."""


class GatewayReplica:
    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        """Raises OSError where another program has the port; Serve tries again and says so."""
        paths = {name: args.get(name, usual) for name, usual in DEFAULT_DOORS.items()}
        doors = Doors(**{name: pkgutil.resolve_name(path) for name, path in paths.items()})
        logs = Path(args["logs"]) if args.get("logs") else None
        gateway = Gateway(doors, read_internal_key(args["internal_key_file"]), logs=logs, spans=spans_of(os.environ))
        self._server = ReplicaServer(gateway, args["host"], args["port"])
        await self._server.start()

    def check_health(self) -> None:
        """Raises RuntimeError where nobody answers here any more; Serve then replaces the replica."""
        if self._server.ended:
            raise RuntimeError("the gateway's HTTP server ended")

    async def __del__(self) -> None:
        """Serve ends the replica when this returns: when the last request in flight has its answer."""
        await self._server.close()


def build(args: dict[str, Any]) -> Application:
    """The Serve application. `args`: `host` (an IP address of the head node) and `port` to listen on,
    `internal_key_file` (path), `logs` (directory of the access log, none without it), `replicas`, and other `Doors`
    than the usual ones, as `module:function` by name.
    """
    deployment = serve.deployment(
        GatewayReplica,
        name="gateway",
        num_replicas=args.get("replicas", 1),
        ray_actor_options={"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}},
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        health_check_period_s=1,  # one that hangs takes its part of the port's connections: 30 s by Serve's own measure
        health_check_timeout_s=3,
        logging_config={"enable_access_log": False},
    )
    return deployment.bind(args)

"""The vectors API as a Serve deployment: Serve starts, watches and replaces replicas, and is not on a request's way.

Each replica answers on its own HTTP server, on a free port, to who has the internal key, and says where that is twice a
second in the store: gateways find it there whatever control actor is dead. A crash leaves a last word that grows old.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import pkgutil
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

import ray
from ray import serve
from ray.serve.deployment import Application

from actors.vectors.ray_calls import RayCalls
from actors.vectors.scatter import Shards
from control.engine_report import BEAT_SECONDS, EngineReport
from serve_apps.engine_ending import is_ending
from serve_apps.http_server import ReplicaServer
from serve_apps.internal_key import ENVIRONMENT_VARIABLE, RequireInternalKey, read_internal_key
from serve_apps.vectors.app import Vectors
from serve_apps.vectors.embedding import Embedding
from serve_apps.vectors.paths import BEAT_NAME
from serve_apps.vectors.served_embedding import ServedModels

DOORS = {
    "table": "control.data_plane:read_vector_table",
    "gateway_table": "control.data_plane:read_gateway_table",
    "engines": "control.data_plane:read_engines",
    "report": "control.data_plane:write_engine",
    "embed": "control.data_plane:embed_texts",
}
DRAIN_SECONDS = 30.0
"""How long a replica that Serve ends may take for the requests that it has."""

log = logging.getLogger("biplane.vectors")


class VectorsReplica:
    async def __init__(self, args: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        os.environ[ENVIRONMENT_VARIABLE] = key = read_internal_key(args["internal_key_file"])
        doors = {name: pkgutil.resolve_name(path) for name, path in DOORS.items()}
        shards = Shards(functools.partial(_collections, doors["table"]), RayCalls())
        self._models = ServedModels(doors["gateway_table"], doors["engines"], key)
        await shards.table.refresh()
        self._api = Vectors(shards, Embedding(doors["embed"], self._models))
        self._server = ReplicaServer(RequireInternalKey(self._api), ray.util.get_node_ip_address())
        await self._server.start()
        report = functools.partial(doors["report"], BEAT_NAME + token_hex(4))
        self._running = [
            asyncio.create_task(one) for one in (shards.table.run(), self._models.run(), self._tell_where(report))
        ]

    def check_health(self) -> None:
        """Raises RuntimeError where nobody answers here any more; Serve then replaces the replica."""
        if self._server.ended or any(one.done() for one in self._running):
            raise RuntimeError("the vectors API's HTTP server, or what keeps its tables fresh, ended")

    async def __del__(self) -> None:
        """Serve ends the replica when this returns: when the last request in flight has its answer."""
        await self._server.close()
        for one in self._running:
            one.cancel()
        self._models.close()

    async def _tell_where(self, report: Callable[[EngineReport], None]) -> None:
        while True:
            here = EngineReport(self._server.url, os.getpid(), not is_ending(), self._api.in_flight)
            try:
                await asyncio.to_thread(report, here)
            except Exception:  # a store that is away costs a word, never a request
                log.warning("the vectors API cannot say where it is", exc_info=True)
            await asyncio.sleep(BEAT_SECONDS)


def _collections(read: Callable[[], bytes | None]) -> Mapping[str, Any] | None:
    raw = read()
    return None if raw is None else json.loads(raw)["collections"]


def build(args: dict[str, Any]) -> Application:
    """The Serve application. `args`: `internal_key_file` (path), and how many `replicas`."""
    deployment = serve.deployment(
        VectorsReplica,
        name="vectors",
        num_replicas=args["replicas"],
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        health_check_period_s=1,
        health_check_timeout_s=3,
        logging_config={"enable_access_log": False},
    )
    return deployment.bind(args)

"""The Ray actor of one replica of a shard.

It owns nothing that `ReplicaCore` does not own. When its process dies Ray starts it again with the same request, and
it goes on from its directory. Where the log can no longer be trusted the process ends itself for that.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from actors.claims import claim
from actors.vectors.ray_peer import RayPeer
from actors.vectors.replica_calls import ReplicaCalls
from control.specs.replica import ReplicaRequest


class Replica(ReplicaCalls):
    def __init__(self, request: ReplicaRequest) -> None:
        if request.devices:
            claim(Path(request.claims), request.devices, request.workload)
        super().__init__(request.actor, Path(request.directory), request.spec, request.generation, RayPeer)
        self._ending = asyncio.create_task(self._end_when_failed())

    async def _end_when_failed(self) -> None:
        await self.failed()
        os._exit(1)

"""Collections whose replicas are objects of this process: the same code as under Ray, called without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.vectors.replica_calls import ReplicaCalls
from actors.vectors.replication.called_peer import CalledPeer
from actors.vectors.scatter import Shards
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment


class VectorPlane:
    """`shards` is the client. The first member of each shard leads epoch 1."""

    def __init__(self, home: Path) -> None:
        self.replicas: dict[str, ReplicaCalls] = {}
        self.table: dict[str, Any] = {}
        self.shards = Shards(lambda: self.table, self.call)
        self._home = home

    async def create(self, name: str, spec: CollectionSpec, life: str = "12345678") -> None:
        rows = []
        for shard in range(spec.shards):
            members = tuple(f"vectors:{name}:{life}:{shard}:{number}" for number in range(spec.replicas))
            for member in members:
                self.start(member, spec)
            assignment = Assignment(1, members[0], members)
            await self.replicas[members[0]].lead(assignment)
            for member in members[1:]:
                await self.replicas[member].follow(assignment)
            rows.append({"shard": shard, "epoch": 1, "leader": members[0], "members": members})
        self.table[name] = {"life": life, "spec": spec.model_dump(mode="json"), "shards": rows}
        await self.shards.table.refresh()

    def start(self, actor: str, spec: CollectionSpec) -> None:
        """As Ray does, for the first time or after it died."""
        self.replicas[actor] = ReplicaCalls(
            actor, self._directory(actor), spec, 1, lambda name: CalledPeer(name, self.call)
        )

    async def end(self, actor: str) -> Path:
        """Its directory."""
        await self.replicas.pop(actor)._core.close()
        return self._directory(actor)

    async def close(self) -> None:
        for actor in list(self.replicas):
            await self.end(actor)

    async def call(self, actor: str, method: str, *words: Any) -> Any:
        if actor not in self.replicas:
            raise ConnectionError(f"{actor} is dead")
        return await getattr(self.replicas[actor], method)(*words)

    def _directory(self, actor: str) -> Path:
        return self._home / actor.replace(":", "/")


def restoring(spec: CollectionSpec, url: str, sha256: str, **changes: Any) -> CollectionSpec:
    """The spec of a collection that begins with a snapshot."""
    body: Mapping[str, Any] = spec.model_dump(mode="json")
    return CollectionSpec.model_validate({**body, "restore": {"url": url, "sha256": sha256}, **changes})

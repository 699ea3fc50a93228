"""A plane with nodes for collections, where replicas are processes that a test kills."""

from __future__ import annotations

from control.kernel.present import NodeView
from control.kernel.store import Object
from control.vectors.state import Shard, from_json
from tests.fakes.plane import Plane
from tests.fakes.replicas import FakeReplicas

GIB = 1 << 30


def collection(shards: int = 1, replicas: int = 3, index: str = "{kind: auto}", dimension: int = 8) -> str:
    return f"""\
apiVersion: biplane/v1
kind: Collection
metadata:
  name: docs
spec:
  dimension: {dimension}
  fields:
    - {{name: year, type: integer}}
  shards: {shards}
  replicas: {replicas}
  index: {index}
"""


def node(name: str, rack: str = "", life: int = 0, gib: int = 8) -> NodeView:
    """As Ray reports it; in another `life` of Ray it has another id."""
    labels = {"biplane.io/node": name, "biplane.io/rack": rack}
    return NodeView(f"{name}-id{life}", labels, {"memory": float(gib * GIB), "CPU": 4.0})


class World:
    """`turn` is one pass of vectors control and a second of the world."""

    def __init__(self, nodes: int = 3, *documents: str) -> None:
        self.plane = Plane()
        self.written = 0
        self.plane.drive.alive_nodes = [node(f"n{number}") for number in range(nodes)]
        for document in documents:
            self.plane.apply(document)

    @property
    def replicas(self) -> FakeReplicas:
        return self.plane.drive.collections

    def turn(self, seconds: float = 1.0, *, replicates: bool = True) -> None:
        self.plane.clock.tick(seconds - 1.0)
        self.plane.turn("vectors")
        if replicates:
            self.replicas.replicate()

    def settle(self, turns: int = 60) -> None:
        """Until nothing is written or asked for any more, for as long as anything here is waited for."""
        quiet = 0
        for _ in range(turns):
            before = (self.plane.store.revision(), len(self.plane.drive.acts))
            self.turn(5.0)
            quiet = quiet + 1 if before == (self.plane.store.revision(), len(self.plane.drive.acts)) else 0
            if quiet > 14:  # longer than a node is waited for
                return
        raise AssertionError(f"still moving after {turns} turns")

    def shard(self, number: int = 0) -> Shard:
        return self.shards()[number]

    def shards(self) -> list[Shard]:
        found = [self._read(o) for o in self.plane.store.list("Shard")]
        return sorted(found, key=lambda shard: shard.number)

    def status(self) -> tuple[str, str]:
        status = self.plane.only("Collection").status
        return status["phase"], status["reason"]

    def table(self) -> dict[str, object]:
        found = self.plane.store.get("Table", "vectors")
        return {} if found is None else dict(found.spec)

    def actor(self, number: int, shard: int = 0) -> str:
        return str(self.shard(shard).called(number))

    def leader(self, shard: int = 0) -> str:
        leader = self.shard(shard).leader
        assert leader is not None
        return self.actor(leader, shard)

    def remove_node(self, name: str) -> NodeView:
        (gone,) = [one for one in self.plane.drive.alive_nodes if one.labels["biplane.io/node"] == name]
        self.plane.drive.alive_nodes.remove(gone)
        return gone

    def events(self, kind: str = "Shard") -> list[str]:
        return [event.event for event in self.plane.store.events(kind)]

    def _read(self, o: Object) -> Shard:
        return from_json(o.name, o.spec, since=o.updated_at, revision=o.revision, generation=o.generation)

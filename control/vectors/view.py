"""What vectors control observes: collections, shards, nodes and leases from the store, replicas' actors from Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from control import vector_report
from control.kernel.beats import read_beats
from control.kernel.ids import (
    EMBEDDER_ACTOR,
    SHARD_KIND,
    TABLE_KIND,
    VECTORS_APP,
    VECTORS_TABLE,
    VECTORS_WORKLOAD_PREFIX,
    life_of,
)
from control.kernel.placement import placement_of
from control.kernel.present import AppState, AppView, Drive, NodeView
from control.kernel.store import Heartbeat, Object, Store
from control.specs.collection import Collection as CollectionDocument
from control.vectors.memory import needed
from control.vectors.placement import Room
from control.vectors.state import Collection, Shard, Snapshot, Surroundings, from_json

NODE_LABEL = "biplane.io/node"
RACK_LABEL = "biplane.io/rack"
KINDS = ("Collection", SHARD_KIND, "Workload", "Node", TABLE_KIND)


class Memory:
    """Since when each node has been gone, and whether shards are `closed`. Forgotten, it is found again; only an
    absence has to last anew.
    """

    def __init__(self) -> None:
        self.closed = False
        self._gone: dict[str, float] = {}

    def away(self, nodes: Iterable[str], rooms: Mapping[str, Room], now: float) -> dict[str, float]:
        """For how many seconds each of `nodes` is not among the `rooms`."""
        self._gone = {node: self._gone.get(node, now) for node in nodes if node and node not in rooms}
        return {node: now - since for node, since in self._gone.items()}


def observe(store: Store, drive: Drive, surroundings: Surroundings, memory: Memory, now: float) -> Snapshot:
    nodes = drive.nodes()
    replicas = drive.replicas()  # before the store: a replica seen here was asked for by something stored
    stored = store.list(*KINDS)
    collections, unreadable = _collections(o for o in stored if o.kind == "Collection")
    shards = _shards(o for o in stored if o.kind == SHARD_KIND)
    sizes = _sizes(store.heartbeats(vector_report.BEAT_PREFIX))
    live = frozenset(node.node_id for node in nodes)
    rooms = _filled(rooms_of(nodes, stored), shards, collections, sizes)
    table = next((o for o in stored if o.kind == TABLE_KIND and o.name == VECTORS_TABLE), None)
    workloads = [o for o in stored if o.kind == "Workload" and o.name.startswith(VECTORS_WORKLOAD_PREFIX)]
    placed = {one.node for shard in shards for one in (*shard.replicas, *shard.ending)}
    return Snapshot(
        now=now,
        collections=collections,
        shards=shards,
        rooms=rooms,
        replicas=replicas,
        surroundings=surroundings,
        away=memory.away(sorted(placed), rooms, now),
        sizes=sizes,
        placements={o.name: placement_of(o.status, live) for o in workloads},
        asked=frozenset(o.name for o in workloads),
        unreadable=unreadable,
        table=None if table is None else table.spec,
        published_at=0.0 if table is None else table.updated_at,
        app=drive.apps().get(VECTORS_APP, AppView(AppState.ABSENT)).state,
        embeds=EMBEDDER_ACTOR in drive.actors(EMBEDDER_ACTOR),
    )


def rooms_of(nodes: Iterable[NodeView], stored: Sequence[Object]) -> dict[str, Room]:
    """The live nodes, by the name that they keep when Ray starts anew. What leases hold of their memory is taken."""
    known = {o.spec["node_id"]: o.spec for o in stored if o.kind == "Node"}
    rooms: dict[str, Room] = {}
    for view in sorted(nodes, key=lambda view: view.node_id):
        told = known.get(view.node_id, {})
        name = view.labels.get(NODE_LABEL) or view.hostname or view.node_id[:12]
        if name not in rooms:
            rooms[name] = Room(
                node=name,
                node_id=view.node_id,
                rack=told.get("rack") or view.labels.get(RACK_LABEL, ""),
                memory=int(told.get("memory") or view.resources.get("memory", 0)),
                taken=_leased(view.node_id, stored),
                cordon=told.get("cordon", ""),
                drain=bool(told.get("drain")),
            )
    return rooms


def _leased(node_id: str, stored: Iterable[Object]) -> int:
    leases = [o.status.get("lease") or {} for o in stored if o.kind == "Workload"]
    pieces = [piece for lease in leases for piece in lease.get("pieces", ())]
    return sum(int(piece.get("memory", 0)) for piece in pieces if piece["node_id"] == node_id)


def _filled(
    rooms: Mapping[str, Room], shards: Iterable[Shard], collections: Iterable[Collection], sizes: Mapping[str, int]
) -> dict[str, Room]:
    """With the replicas that they have; those on GPUs are in their leases."""
    specs = {one.life: one.spec for one in collections}
    filled = dict(rooms)
    for shard in shards:
        spec = specs.get(shard.life)
        for one in (*shard.replicas, *shard.ending):
            if one.node not in filled:
                continue
            if spec is None:
                memory = sizes.get(str(shard.called(one.number)), 0)
            else:
                memory = 0 if spec.index.device == "gpu" else needed(spec, sizes.get(str(shard.called(one.number)), 0))
            filled[one.node] = filled[one.node].with_one(memory)
    return filled


def _sizes(beats: Iterable[Heartbeat]) -> dict[str, int]:
    said = read_beats(beats, vector_report.BEAT_PREFIX, vector_report.parse)
    return {vector_report.BEAT_PREFIX + rest: report.memory_bytes for rest, _, report in said}


def _shards(stored: Iterable[Object]) -> tuple[Shard, ...]:
    """Those of an older plane do not say how many there are in their layout: it was the only one."""
    found = [
        from_json(o.name, o.spec, since=o.updated_at, revision=o.revision, generation=o.generation) for o in stored
    ]
    parts = Counter(one.life for one in found if not one.layout)
    return tuple(one if one.parts else replace(one, parts=parts[one.life]) for one in found)


def _collections(stored: Iterable[Object]) -> tuple[tuple[Collection, ...], frozenset[str]]:
    """Those that can be read, and the lives of the rest: an older plane wrote them in another form."""
    found, unreadable = [], set()
    for o in stored:
        try:
            spec = CollectionDocument.model_validate(o.spec).spec
        except ValidationError:
            unreadable.add(life_of(o.uid))
        else:
            found.append(Collection(o.name, life_of(o.uid), o.generation, o.revision, spec, o.status))
    return tuple(found), frozenset(unreadable)

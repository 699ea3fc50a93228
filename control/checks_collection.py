"""What must hold, and what is to be known, before a collection is applied: beyond its own form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.scheduler.state import Node
from control.specs.collection import Collection, CollectionSpec
from control.specs.deployment import Deployment
from control.specs.problem import Fault, Loc, nearest, one_of, show
from control.specs.vector_index import SEARCH_PARAMETERS
from control.vectors.memory import FIRST_ROWS, needed
from control.vectors.placement import GIB

FIXED = ("dimension", "metric", "ids")
"""What the rows there are would not fit any more."""
OWN_MODEL = "minilm"


@dataclass(frozen=True)
class Known:
    """A collection as it is stored: its spec, and what vectors control said of it last."""

    spec: CollectionSpec
    status: Mapping[str, Any]

    @property
    def serving(self) -> int:
        """How many shards serve."""
        return len(self.status.get("shards", ())) or self.spec.shards


def collection_faults(
    spec: Collection, before: Known | None, deployments: Iterable[Deployment], *, started: bool
) -> Iterator[Fault]:
    """`before` is None for a new collection. Where nothing is `started`, nobody looks for deployments."""
    now = spec.spec
    if before is not None:
        yield from _changed(now, before.spec)
        yield from _moved(now, before)
    if now.embedding is not None and now.embedding.model != OWN_MODEL and started:
        names = sorted(one.name for one in deployments)
        if now.embedding.model not in names:
            found = f"no deployment is called {show(now.embedding.model)}"
            near = nearest(now.embedding.model, (OWN_MODEL, *names))
            yield Fault(("spec", "embedding", "model"), found, one_of((OWN_MODEL, *names)), near)


def collection_notes(spec: Collection, before: Known | None, nodes: Sequence[Node]) -> Iterator[Fault]:
    """What follows from how many shards and replicas there are, and on what."""
    if before is not None and spec.spec.shards != before.spec.shards:
        yield Fault(("spec", "shards"), _moves(spec.spec.shards, before))
    replicas = spec.spec.replicas
    if replicas == 2:
        found = "of 2 replicas both are a quorum: while one is away nothing is acknowledged at quorum"
        yield Fault(("spec", "replicas"), found)
    if nodes and replicas > len(nodes):
        found = f"{replicas} replicas on {len(nodes)} node(s): some share a node, and are lost with it together"
        yield Fault(("spec", "replicas"), found)


def room_faults(spec: Collection, nodes: Sequence[Node]) -> Iterator[Fault]:
    """A replica on a CPU that no node has the memory for, even with few rows."""
    known = [node for node in nodes if node.memory]
    memory = needed(spec.spec, 0)
    if spec.spec.index.device == "cpu" and known and all(node.memory < memory for node in known):
        largest = max(known, key=lambda node: node.memory)
        rows = FIRST_ROWS // spec.spec.shards
        found = f"a replica takes about {memory / GIB:.1f} GiB with {rows:,} rows"
        found += f"; the largest node, {largest.name}, has {largest.memory / GIB:.1f} GiB"
        yield Fault(("spec", "dimension"), found, "more shards, or a larger node")


def _changed(now: CollectionSpec, before: CollectionSpec) -> Iterator[Fault]:
    for name in FIXED:
        if getattr(now, name) != getattr(before, name):
            yield _fixed(("spec", name), f"{name} {getattr(before, name)} → {getattr(now, name)}")
    if now.index.device != before.index.device:
        yield _fixed(("spec", "index", "device"), f"device {before.index.device} → {now.index.device}")
    if now.restore != before.restore:
        found = "a collection that is there begins with no other rows than it began with"
        yield Fault(("spec", "restore"), found, "what it was, or another collection")
    if before.embedding is not None and now.embedding is not None and now.embedding != before.embedding:
        name = "model" if now.embedding.model != before.embedding.model else "field"
        found = f"embedding {name} {getattr(before.embedding, name)} → {getattr(now.embedding, name)}"
        yield _fixed(("spec", "embedding", name), found)
    yield from _changed_fields(now, before)


def _moved(now: CollectionSpec, before: Known) -> Iterator[Fault]:
    """Another number of shards, at a time when there can be one."""
    path, was, serving = ("spec", "shards"), before.spec.shards, before.serving
    if now.shards in (was, serving):
        return
    if was != serving:
        found = f"{now.shards} shards, while rows move from {serving} to {was}: {before.status.get('reason', '')}"
        yield Fault(path, found, f"{was} until they have, or {serving} to undo it")
    elif before.status.get("phase") == "Rebuilding" or _builds(now) != _builds(before.spec):
        found = f"shards {was} → {now.shards} while indexes are built anew: {before.status.get('reason', '')}"
        yield Fault(path, found, f"{was} until they are (biplane explain collection/NAME), or the index as it was")


def _builds(spec: CollectionSpec) -> object:
    """What of an index is built, not only searched with."""
    return spec.index.model_dump(exclude=set(SEARCH_PARAMETERS))


def _moves(shards: int, before: Known) -> str:
    serving = before.serving
    if shards == serving:
        return f"the move to {before.spec.shards} shards is undone: {serving} serve on"
    found = f"{serving} → {shards}: every row is copied into new shards while the old ones serve, then writes wait for"
    return f"{found} about a second. Until then both take memory and disk; shards: {serving} undoes it"


def _changed_fields(now: CollectionSpec, before: CollectionSpec) -> Iterator[Fault]:
    """A field may come, and its index come and go."""
    fields: Loc = ("spec", "fields")
    for field in before.fields:
        found = now.field(field.name)
        if found is None:
            given = [one.name for one in now.fields if before.field(one.name) is None]
            said = f"field {show(field.name)} is missing: rows have it, and filters may use it"
            yield Fault(fields, said, "every field there is, and new ones", nearest(field.name, given))
        elif (found.type, found.many) != (field.type, field.many):
            name = "type" if found.type != field.type else "many"
            place = [one.name for one in now.fields].index(field.name)
            said = f"{name} of field {show(field.name)}: {show(getattr(field, name))} → {show(getattr(found, name))}"
            yield _fixed((*fields, place, name), said)


def _fixed(path: Loc, found: str) -> Fault:
    return Fault(path, f"{found} of a collection that is there", "what it was, or another collection")

"""What collections need: shards, replicas, devices, leaders, and a table that tells clients of them. Pure.

What a replica is told follows from what is stored, never from what is only about to be: a shard that changes in this
pass is told of in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from control.kernel.ids import SHARD_KIND, TABLE_KIND, VECTORS_TABLE, VECTORS_WORKLOAD_PREFIX
from control.kernel.plan import (
    Create,
    Effect,
    EndReplica,
    EnsureReplica,
    Note,
    Plan,
    PutSpec,
    PutStatus,
    Record,
    Remove,
    RetuneReplica,
)
from control.specs.replica import ReplicaRequest
from control.vectors.conduct import Step, advance, told
from control.vectors.devices import workload_of
from control.vectors.enlist import enlisted
from control.vectors.look import LOST_SECONDS, Look
from control.vectors.memory import needed
from control.vectors.stands import stands
from control.vectors.state import Collection, Event, Phase, Replica, Shard, Snapshot, to_json
from control.vectors.surface import surface
from control.vectors.table import named_in, table_of

DRAIN_SECONDS = 4.0
"""How long after a table without it a replica goes on: clients read the table every second."""


@dataclass(frozen=True)
class _Outcome:
    """What one shard comes to. `after` is as it is stored when this pass is over, None where it is gone."""

    after: Look | None
    plan: Plan
    refused: str = ""


def decide(snapshot: Snapshot) -> Plan:
    plan, rooms, shards = Plan(), snapshot.rooms, {(one.life, one.number): one for one in snapshot.shards}
    looks: list[Look] = []
    for collection in snapshot.collections:
        of_it: list[tuple[Look, str]] = []
        for number in range(collection.spec.shards):
            shard = shards.get((collection.life, number)) or _first(collection, number)
            outcome = _wanted(Look(shard, collection, snapshot, rooms))
            plan += outcome.plan
            if outcome.after is not None:
                rooms = outcome.after.rooms
                of_it.append((outcome.after, outcome.refused))
        looks += [look for look, _ in of_it]
        plan += _status(collection, stands(of_it))
    wanted = snapshot.unreadable | {one.life for one in snapshot.collections}
    ending = [_ended(shard, snapshot) for shard in snapshot.shards if shard.life not in wanted]
    plan = sum(ending, plan)
    table = table_of(snapshot.collections, [look.shard for look in looks])
    table |= {name: one for name, one in (snapshot.table or {}).items() if one["life"] in snapshot.unreadable}
    if table != (snapshot.table or {}):
        plan += Plan((_publish(table),))
    return plan + _workloads(snapshot, looks) + Plan((), surface(snapshot))


def _first(collection: Collection, number: int) -> Shard:
    name = f"{collection.name}.{collection.life}.{number}"
    return Shard(name, collection.name, collection.life, number)


def _wanted(look: Look) -> _Outcome:
    before = look.shard
    sizes = [look.snapshot.sizes.get(str(before.called(one.number)), 0) for one in before.replicas]
    memory = needed(look.collection.spec, max(sizes, default=0))
    look, refused = enlisted(look, memory)
    if look.shard == before:
        step = advance(look)
        look = replace(look, shard=step.shard)
    else:
        step = Step(look.shard, "Placed", _places(before, look.shard))
    look = _without_gone(look)
    if look.shard == before and before.revision:
        return _Outcome(look, Plan((), tuple(_effects(look))), refused)
    return _Outcome(look, Plan(tuple(_stored(before, look.shard, step))), refused)


def _places(before: Shard, after: Shard) -> str:
    known = {one.number: one.node for one in before.replicas}
    new = [one for one in after.replicas if one.node and known.get(one.number) != one.node]
    gone = [one for one in after.ending if one not in before.ending]
    said = [f"replica {one.number} on {one.node}" for one in new]
    said += [f"replica {one.number} is not waited for" for one in gone]
    return "; ".join(said) or "a replica is seen to have begun"


def _without_gone(look: Look) -> Look:
    """Those that were ending and are gone are forgotten; so are those whose node will not come back."""
    ending = tuple(one for one in look.shard.ending if not _is_gone(one, look.shard, look.snapshot))
    return replace(look, shard=replace(look.shard, ending=ending))


def _is_gone(one: Replica, shard: Shard, snapshot: Snapshot) -> bool:
    view = snapshot.replicas.get(str(shard.called(one.number)))
    left = snapshot.away.get(one.node, 0.0) >= LOST_SECONDS
    return not one.node or left or (view is not None and view.gone)


def _stored(before: Shard, after: Shard, step: Step) -> Iterator[Record]:
    event, spec = step.event or "Ended", to_json(after)
    reason = step.reason or "a replica that is no member is gone with its files"
    if not before.revision:
        yield Create(kind=SHARD_KIND, name=after.name, event=event, reason=reason, spec=spec)
        return
    yield PutSpec(kind=SHARD_KIND, name=after.name, event=event, reason=reason, spec=spec, revision=before.revision)
    if after.phase is not before.phase:
        about = f"shard {after.number}: {reason}"
        yield Note(kind="Collection", name=after.collection, event=step.event, reason=about)


def _effects(look: Look) -> Iterator[Effect]:
    yield from _ensured(look)
    yield from told(look)
    yield from _retuned(look)
    yield from _endings(look.shard, look.snapshot)


def _ensured(look: Look) -> Iterator[Effect]:
    shard, around = look.shard, look.snapshot.surroundings
    for replica in shard.replicas:
        name, room = shard.called(replica.number), look.rooms.get(replica.node)
        placement = look.snapshot.placements.get(name.workload)
        waits = look.collection.spec.index.device == "gpu" and not (placement and placement.granted)
        if room is None or waits or look.lost(replica.number) or str(name) in look.snapshot.replicas:
            continue
        yield EnsureReplica(
            kind="Collection",
            name=shard.collection,
            reason=f"shard {shard.number} wants replica {replica.number}",
            node_id=room.node_id,
            request=ReplicaRequest(
                actor=str(name),
                directory=f"{around.directory}/{name.directory}",
                generation=look.collection.generation,
                spec=look.collection.spec,
                devices=placement.grant.devices if placement else (),
                workload=name.workload if placement else "",
                claims=around.claims,
            ),
            grant=placement.grant if placement else None,
        )


def _retuned(look: Look) -> Iterator[Effect]:
    collection = look.collection
    for replica in look.shard.replicas:
        standing = look.view(replica.number).standing
        if look.alive(replica.number) and standing and standing.generation < collection.generation:
            yield RetuneReplica(
                kind="Collection",
                name=collection.name,
                reason=f"generation {collection.generation} is wanted",
                actor=str(look.shard.called(replica.number)),
                generation=collection.generation,
                spec=collection.spec,
            )


def _endings(shard: Shard, snapshot: Snapshot) -> Iterator[Effect]:
    """Clients that read the table have had the time to see that it names them no more."""
    if snapshot.now - max(snapshot.published_at, shard.since) < DRAIN_SECONDS:
        return
    named = named_in(snapshot.table)
    for one in shard.ending:
        name, room = shard.called(one.number), snapshot.rooms.get(one.node)
        if room is not None and str(name) not in named:
            yield EndReplica(
                kind="Collection",
                name=shard.collection,
                reason="it is not wanted any more",
                actor=str(name),
                node_id=room.node_id,
                directory=f"{snapshot.surroundings.directory}/{name.directory}",
            )


def _ended(shard: Shard, snapshot: Snapshot) -> Plan:
    """Of a collection that is wanted no more, or was made anew: replicas end, then files, then the shard itself."""
    if shard.phase is not Phase.ENDING:
        ending = shard.after(Event.UNWANTED, replicas=(), ending=(*shard.ending, *shard.replicas))
        step = Step(ending, "Unwanted", Event.UNWANTED.value)
        return Plan(tuple(one for one in _stored(shard, ending, step) if not isinstance(one, Note)))
    left = tuple(one for one in shard.ending if not _is_gone(one, shard, snapshot))
    if not left:
        reason = "its replicas and their files are gone"
        return Plan((Remove(kind=SHARD_KIND, name=shard.name, event="Ended", reason=reason),))
    if left != shard.ending:
        return Plan(tuple(_stored(shard, replace(shard, ending=left), Step(shard))))
    return Plan((), tuple(_endings(shard, snapshot)))


def _workloads(snapshot: Snapshot, looks: Iterable[Look]) -> Plan:
    """What replicas on GPUs ask of the scheduler. A workload goes only after its actor: devices are given on then."""
    asked = [
        _ask(look, replica)
        for look in looks
        if look.collection.spec.index.device == "gpu"
        for replica in look.shard.replicas
        if not look.lost(replica.number) and look.shard.called(replica.number).workload not in snapshot.asked
    ]
    stored = [look.shard for look in looks] + list(snapshot.shards)
    held = {shard.called(one.number).workload for shard in stored for one in (*shard.replicas, *shard.ending)}
    released = tuple(
        Remove(kind="Workload", name=name, event="Released", reason="its replica is gone")
        for name in sorted(snapshot.asked)
        if name.startswith(VECTORS_WORKLOAD_PREFIX) and name not in held
    )
    return Plan((*asked, *released))


def _ask(look: Look, replica: Replica) -> PutSpec:
    """Asked once: more for one that has grown would be another placement, far from its data."""
    name = look.shard.called(replica.number).workload
    spec = workload_of(look.collection.spec).model_dump(mode="json", exclude_defaults=True)
    return PutSpec(
        kind="Workload",
        name=name,
        event="Requested",
        reason=f"collection {look.collection.name} wants a replica of shard {look.shard.number} on a GPU",
        spec={
            "apiVersion": "biplane/v1",
            "kind": "Workload",
            "metadata": {"name": look.collection.name},
            "spec": spec,
        },
    )


def _publish(table: Mapping[str, Any]) -> PutSpec:
    reason = f"collections: {', '.join(table) or 'none'}"
    return PutSpec(kind=TABLE_KIND, name=VECTORS_TABLE, event="Published", reason=reason, spec=table)


def _status(collection: Collection, status: Mapping[str, Any]) -> Plan:
    status = {"generation": collection.generation, **status}
    if status == collection.status:
        return Plan()
    before, now = collection.status, (status["phase"], status["reason"])
    return Plan(
        (
            PutStatus(
                kind="Collection",
                name=collection.name,
                event=status["phase"],
                reason=status["reason"],
                revision=collection.revision,
                status=status,
                quiet=(before.get("phase"), before.get("reason")) == now,
            ),
        )
    )

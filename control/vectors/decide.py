"""What collections need: shards, replicas, devices, leaders, and a table that tells clients of them. Pure.

What a replica is told follows from what is stored, never from what is only about to be: a shard that changes in this
pass is told of in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from control.kernel.ids import TABLE_KIND, VECTORS_TABLE, VECTORS_WORKLOAD_PREFIX
from control.kernel.plan import Note, Plan, PutSpec, PutStatus, Remove
from control.vectors.conduct import advance
from control.vectors.devices import workload_of
from control.vectors.ending import ended, endings, is_gone
from control.vectors.enlist import enlisted
from control.vectors.layouts import Turn, is_ready, layouts_of, turn_of
from control.vectors.look import Look
from control.vectors.memory import needed
from control.vectors.orders import orders
from control.vectors.placement import Room
from control.vectors.stands import stands
from control.vectors.state import Collection, Phase, Replica, Shard, Snapshot
from control.vectors.step import Step, records_of
from control.vectors.surface import surface
from control.vectors.table import table_of


@dataclass(frozen=True)
class _Outcome:
    """What one shard comes to: how it is stored when this pass is over, and why a replica of it has no place."""

    after: Look
    plan: Plan
    refused: str


def decide(snapshot: Snapshot) -> Plan:
    plan, rooms = Plan(), snapshot.rooms
    looks: list[Look] = []
    for collection in snapshot.collections:
        outcomes, rooms = _outcomes(collection, snapshot, rooms)
        plan = sum((one.plan for one in outcomes), plan)
        looks += [one.after for one in outcomes]
        plan += _status(collection, stands([(one.after, one.refused) for one in outcomes]))
    wanted = snapshot.unreadable | {one.life for one in snapshot.collections}
    ending = [ended(shard, snapshot) for shard in snapshot.shards if shard.life not in wanted]
    plan = sum(ending, plan)
    table = table_of(snapshot.collections, [look.shard for look in looks])
    table |= {name: one for name, one in (snapshot.table or {}).items() if one["life"] in snapshot.unreadable}
    if table != (snapshot.table or {}):
        plan += Plan((_publish(table),))
    return plan + _workloads(snapshot, looks) + Plan((), surface(snapshot))


def _outcomes(
    collection: Collection, snapshot: Snapshot, rooms: Mapping[str, Room]
) -> tuple[list[_Outcome], Mapping[str, Room]]:
    """Of the shards that serve, and of those that will. Those of former layouts end."""
    known = [one for one in snapshot.shards if one.life == collection.life] or _first(collection)
    layouts = layouts_of(known)
    looks = [Look(one, collection, snapshot, rooms, layouts) for one in (*layouts.serving, *layouts.filling)]
    turn = turn_of(layouts, known, collection.spec.shards, _ready(looks), snapshot.now)
    outcomes = [] if turn is None else _turned(looks, turn)
    for look in looks if turn is None else ():
        outcomes.append(_wanted(replace(look, rooms=rooms)))
        rooms = outcomes[-1].after.rooms
    left = [ended(one, snapshot) for one in known if one not in (*layouts.serving, *layouts.filling)]
    if outcomes:
        outcomes[0] = replace(outcomes[0], plan=sum(left, outcomes[0].plan))
    return outcomes, rooms


def _first(collection: Collection) -> list[Shard]:
    parts = collection.spec.shards
    name = f"{collection.name}.{collection.life}"
    return [
        Shard(f"{name}.{number}", collection.name, collection.life, number, parts=parts, spent=parts)
        for number in range(parts)
    ]


def _ready(looks: Iterable[Look]) -> bool:
    """Whether every shard has a leader that commits, and those of the next layout are close behind."""
    return all(
        look.standing is not None
        and look.standing.reached
        and look.shard.phase is Phase.SERVING
        and (look.shard in look.layouts.serving or is_ready(look.standing.filling))
        for look in looks
    )


def _turned(looks: Sequence[Look], turn: Turn) -> list[_Outcome]:
    """Nothing else becomes of the collection's shards in this pass."""
    before, after = {look.shard.name: look.shard for look in looks}, {one.name: one for one in turn.shards}
    step = Step(looks[0].shard, turn.event, turn.reason)
    made = [Shard(one.name, one.collection, one.life, one.number) for one in turn.shards if one.name not in before]
    records = [
        record
        for old in (*before.values(), *made)
        if after.get(old.name, old) != old
        for record in records_of(old, after[old.name], step)
        if not isinstance(record, Note)
    ]
    note = Note(kind="Collection", name=looks[0].collection.name, event=turn.event, reason=turn.reason)
    plan = Plan((*records, note))
    outcomes = [_Outcome(replace(look, shard=after.get(look.shard.name, look.shard)), Plan(), "") for look in looks]
    return [replace(outcomes[0], plan=plan), *outcomes[1:]]


def _wanted(look: Look) -> _Outcome:
    before = look.shard
    look, refused = enlisted(look, needed(look.collection.spec, _size(look)))
    if look.shard == before:
        step = advance(look)
        look = replace(look, shard=step.shard)
    else:
        step = Step(look.shard, "Placed", _places(before, look.shard))
    look = _without_gone(look)
    if look.shard == before and before.revision:
        return _Outcome(look, Plan((), (*orders(look), *endings(look.shard, look.snapshot))), refused)
    return _Outcome(look, Plan(tuple(records_of(before, look.shard, step))), refused)


def _size(look: Look) -> int:
    """Bytes of memory that a replica takes, or will take with its share of what others have; 0 if unknown."""
    of = [look.shard, *(look.layouts.serving if look.shard in look.layouts.filling else ())]
    sizes = look.snapshot.sizes
    return max(
        (sizes.get(str(one.called(r.number)), 0) * one.parts // look.shard.parts for one in of for r in one.replicas),
        default=0,
    )


def _places(before: Shard, after: Shard) -> str:
    known = {one.number: one.node for one in before.replicas}
    new = [one for one in after.replicas if one.node and known.get(one.number) != one.node]
    gone = [one for one in after.ending if one not in before.ending]
    said = [f"replica {one.number} on {one.node}" for one in new]
    said += [f"replica {one.number} is not waited for" for one in gone]
    return "; ".join(said) or "a replica is seen to have begun"


def _without_gone(look: Look) -> Look:
    """Those that were ending and are gone are forgotten; so are those whose node will not come back."""
    ending = tuple(one for one in look.shard.ending if not is_gone(one, look.shard, look.snapshot))
    return replace(look, shard=replace(look.shard, ending=ending))


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

"""What collections need: shards, replicas, devices, leaders, and a table that tells clients of them. Pure.

What a replica is told follows from what is stored, never from what is only about to be: a shard that changes in this
pass is told of in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from control.kernel.ids import TABLE_KIND, VECTORS_TABLE, VECTORS_WORKLOAD_PREFIX
from control.kernel.plan import Plan, PutSpec, PutStatus, Remove
from control.vectors.conduct import advance
from control.vectors.devices import workload_of
from control.vectors.ending import ended, endings, is_gone
from control.vectors.enlist import enlisted
from control.vectors.look import Look
from control.vectors.memory import needed
from control.vectors.orders import orders
from control.vectors.stands import stands
from control.vectors.state import Collection, Replica, Shard, Snapshot
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
    plan, rooms, shards = Plan(), snapshot.rooms, {(one.life, one.number): one for one in snapshot.shards}
    looks: list[Look] = []
    for collection in snapshot.collections:
        of_it: list[tuple[Look, str]] = []
        for number in range(collection.spec.shards):
            shard = shards.get((collection.life, number)) or _first(collection, number)
            outcome = _wanted(Look(shard, collection, snapshot, rooms))
            plan, rooms = plan + outcome.plan, outcome.after.rooms
            of_it.append((outcome.after, outcome.refused))
        looks += [look for look, _ in of_it]
        plan += _status(collection, stands(of_it))
    wanted = snapshot.unreadable | {one.life for one in snapshot.collections}
    ending = [ended(shard, snapshot) for shard in snapshot.shards if shard.life not in wanted]
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
        return _Outcome(look, Plan((), (*orders(look), *endings(look.shard, look.snapshot))), refused)
    return _Outcome(look, Plan(tuple(records_of(before, look.shard, step))), refused)


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

"""How replicas end: nobody knows them any more, then their process, then their files, then what is stored. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from control.kernel.ids import SHARD_KIND
from control.kernel.plan import Effect, EndReplica, Note, Plan, Remove
from control.vectors.look import LOST_SECONDS
from control.vectors.state import Event, Phase, Replica, Shard, Snapshot
from control.vectors.step import Step, records_of
from control.vectors.table import named_in

DRAIN_SECONDS = 4.0
"""How long after a table without it a replica goes on: clients read the table every second."""


def is_gone(one: Replica, shard: Shard, snapshot: Snapshot) -> bool:
    """Whether nothing is left of a replica that was ending, or nobody will ever reach it."""
    view = snapshot.replicas.get(str(shard.called(one.number)))
    left = snapshot.away.get(one.node, 0.0) >= LOST_SECONDS
    return not one.node or left or (view is not None and view.gone)


def endings(shard: Shard, snapshot: Snapshot) -> Iterator[Effect]:
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


def ended(shard: Shard, snapshot: Snapshot) -> Plan:
    """Of a collection that is wanted no more, or was made anew: replicas end, then files, then the shard itself."""
    if shard.phase is not Phase.ENDING:
        ending = shard.after(Event.UNWANTED, replicas=(), ending=(*shard.ending, *shard.replicas))
        step = Step(ending, "Unwanted", Event.UNWANTED.value)
        return Plan(tuple(one for one in records_of(shard, ending, step) if not isinstance(one, Note)))
    left = tuple(one for one in shard.ending if not is_gone(one, shard, snapshot))
    if not left:
        reason = "its replicas and their files are gone"
        return Plan((Remove(kind=SHARD_KIND, name=shard.name, event="Ended", reason=reason),))
    if left != shard.ending:
        return Plan(tuple(records_of(shard, replace(shard, ending=left), Step(shard))))
    return Plan((), tuple(endings(shard, snapshot)))

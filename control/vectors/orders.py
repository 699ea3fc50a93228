"""What the replicas of a shard are asked for and told, as far as they do not know it yet. Pure.

It follows from what is stored of the shard, never from what is only about to be.
"""

from __future__ import annotations

from collections.abc import Iterator

from control.kernel.plan import AskPromise, AssignReplica, Effect, EnsureReplica, RetuneReplica
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment, ReplicaRequest
from control.vectors.look import Look


def orders(look: Look) -> Iterator[Effect]:
    """Of a shard whose collection is wanted."""
    yield from _ensured(look)
    yield from _told(look)
    yield from _retuned(look)


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
                spec=_spec(look),
                devices=placement.grant.devices if placement else (),
                workload=name.workload if placement else "",
                claims=around.claims,
            ),
            grant=placement.grant if placement else None,
        )


def _told(look: Look) -> Iterator[Effect]:
    shard = look.shard
    if shard.phase.asks_promises:
        epoch = look.next_epoch
        for number in look.voters:
            if look.alive(number) and look.promise(number, epoch) is None:
                yield AskPromise(
                    kind="Collection",
                    name=shard.collection,
                    reason=f"shard {shard.number} needs a leader of epoch {epoch}",
                    actor=str(shard.called(number)),
                    epoch=epoch,
                )
    if shard.phase.led and shard.leader is not None:
        assignment = Assignment(
            epoch=shard.epoch,
            leader=str(shard.called(shard.leader)),
            members=tuple(str(shard.called(one)) for one in shard.members),
            learners=tuple(str(shard.called(one)) for one in shard.learners),
            number=shard.generation,
            move=look.layouts.move_of(shard),
        )
        for replica in shard.replicas:
            if look.alive(replica.number) and look.view(replica.number).told != assignment:
                yield AssignReplica(
                    kind="Collection",
                    name=shard.collection,
                    reason=f"epoch {shard.epoch} of shard {shard.number}",
                    actor=str(shard.called(replica.number)),
                    assignment=assignment,
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
                spec=_spec(look),
            )


def _spec(look: Look) -> CollectionSpec:
    """Of the layout that the shard is in; only the first one begins with a snapshot."""
    shard, spec = look.shard, look.collection.spec
    return spec.model_copy(update={"shards": shard.parts, "restore": None if shard.layout else spec.restore})

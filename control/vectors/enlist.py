"""Which replicas a shard has: those that it lacks are placed, those that are lost and count for nothing go. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.vectors.look import Look
from control.vectors.placement import place
from control.vectors.state import Phase, Replica


def enlisted(look: Look, memory: int) -> tuple[Look, str]:
    """The look with the replicas of `memory` bytes that its shard should have, and why one has no place.

    A replica that should lie elsewhere gets a successor first: it goes when that one has what it has.
    """
    look = _noted(look)
    if look.shard.phase is Phase.ELECTING:
        return look, ""
    spec, refused = look.collection.spec, ""
    lasting = [one for one in look.shard.replicas if not look.lost(one.number)]
    for _ in range(spec.replicas - len(lasting)):
        node = ""
        if spec.index.device == "cpu":
            choice = place(look.rooms, [one.node for one in lasting], spec.replicas, memory)
            if not choice.node:
                refused = choice.reason
                break
            node = choice.node
        look = _with_one(look, node, memory)
        lasting.append(look.shard.replicas[-1])
    moves = any(look.misplaced(one.number) for one in lasting)
    if moves and look.shard.phase is Phase.SERVING and len(lasting) == spec.replicas and spec.index.device == "cpu":
        choice = place(look.rooms, [one.node for one in lasting], spec.replicas, memory)
        if choice.node and choice.node not in {one.node for one in lasting}:
            look = _with_one(look, choice.node, memory)
    return look, refused


def _with_one(look: Look, node: str, memory: int) -> Look:
    shard = look.shard
    one = Replica(shard.next, node)
    rooms = {**look.rooms, node: look.rooms[node].with_one(memory)} if node else look.rooms
    return replace(look, shard=replace(shard, replicas=(*shard.replicas, one), next=shard.next + 1), rooms=rooms)


def _noted(look: Look) -> Look:
    """With what is seen of its replicas; those that are lost and hold nothing that counts are ending."""
    shard = look.shard
    counts = {number for config in (*shard.configs, shard.members) for number in config}
    gone = {one.number for one in shard.replicas if one.number not in counts and look.lost(one.number)}
    replicas = tuple(_seen(look, one) for one in shard.replicas if one.number not in gone)
    ending = (*shard.ending, *(one for one in shard.replicas if one.number in gone))
    return replace(look, shard=replace(shard, replicas=replicas, ending=ending))


def _seen(look: Look, replica: Replica) -> Replica:
    """The node follows from the lease, where there is one; a promise that was seen is remembered."""
    if look.shard.phase is Phase.SERVING and not replica.begun and look.holds_promise(replica.number):
        replica = replace(replica, begun=True)
    placement = look.snapshot.placements.get(look.shard.called(replica.number).workload)
    if not replica.node and placement is not None and placement.granted:
        nodes = [room.node for room in look.rooms.values() if room.node_id == placement.pieces[0].node_id]
        replica = replace(replica, node=next(iter(nodes), ""))
    return replica

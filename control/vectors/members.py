"""Which replicas should be members of a shard: one comes or goes with an epoch. Pure."""

from __future__ import annotations

from control.vectors.election import enough
from control.vectors.look import Look
from control.vectors.state import Members, Phase, Shard

CLOSE_ENTRIES = 1000
"""A learner that lacks no more of the leader's log than this may become a member."""


def change_of(look: Look) -> tuple[Members, str] | None:
    """Other members, one at a time, and why; None where they are as they should be, or cannot be changed yet."""
    shard, wanted = look.shard, look.collection.spec.replicas
    alive = [one for one in look.voters if look.alive(one)]
    if shard.leader not in alive or not enough(shard.configs, alive):
        return None
    for number in shard.members:
        if number != shard.leader and (why := look.lost(number)) and len(shard.members) > 1:
            return _without(shard, number), f"replica {number} is a member no more: {why}"
    if shard.phase is not Phase.SERVING:
        return None
    for number in shard.learners:
        if look.alive(number) and _is_close(look, number):
            return (*shard.members, number), f"replica {number} has what the others have, and becomes a member"
    if len(shard.members) > wanted:
        surplus = max(
            shard.members, key=lambda one: (bool(look.misplaced(one)), not look.alive(one), one != shard.leader, one)
        )
        why = look.misplaced(surplus) or f"{wanted} replicas are wanted"
        return _without(shard, surplus), f"replica {surplus} is a member no more: {why}"
    return None


def _without(shard: Shard, number: int) -> Members:
    return tuple(one for one in shard.members if one != number)


def _is_close(look: Look, number: int) -> bool:
    leader = look.view(look.shard.leader).standing if look.shard.leader is not None else None
    standing = look.view(number).standing
    return (
        leader is not None
        and standing is not None
        and standing.epoch == look.shard.epoch
        and standing.last_seq + CLOSE_ENTRIES >= leader.last_seq
    )

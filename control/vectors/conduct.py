"""What becomes of one shard: who leads it, who belongs to it, and what its replicas are told. Pure.

A change is written down first, with what the decision saw (compare-and-set); what its replicas are told follows from
what is written, by the next pass. So two lives of this actor can never make two leaders of one epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from control.kernel.plan import AskPromise, AssignReplica, Effect
from control.specs.replica import Assignment, Standing
from control.vectors.election import choose, enough, quorum, shortfall
from control.vectors.look import LEADER_SECONDS, START_SECONDS, Look
from control.vectors.state import Event, Members, Phase, Shard

ANSWER_SECONDS = 3.0
"""So long the promises of replicas that live are waited for, where enough have promised."""
CLOSE_ENTRIES = 1000
"""A learner that lacks no more of the leader's log than this may become a member."""


@dataclass(frozen=True)
class Step:
    """The shard as it is to be stored, what happened in a word and why; the same shard where nothing does."""

    shard: Shard
    event: str = ""
    reason: str = ""


def advance(look: Look) -> Step:
    """The next state of a shard whose collection is wanted."""
    shard = look.shard
    if shard.phase.asks_promises:
        return _elected(look)
    if shard.phase.led:
        if _settled(look):
            return _settle(look)
        if why := _leader_lost(look):
            return Step(shard.after(Event.LOST, aim=shard.members), "LeaderLost", why)
        if change := _change(look):
            aim, why = change
            return Step(shard.after(Event.CHANGED, aim=aim), "MembersChange", why)
    return Step(shard)


def told(look: Look) -> Iterator[Effect]:
    """What the replicas that answer are asked for and told, as far as they do not know it yet."""
    shard = look.shard
    if shard.phase.asks_promises:
        epoch = look.next_epoch
        for number in _voters(look):
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
        )
        for replica in shard.replicas:
            if look.alive(replica.number) and look.view(replica.number).told != shard.generation:
                yield AssignReplica(
                    kind="Collection",
                    name=shard.collection,
                    reason=f"epoch {shard.epoch} of shard {shard.number}",
                    actor=str(shard.called(replica.number)),
                    number=shard.generation,
                    assignment=assignment,
                )


def waits(look: Look) -> str:
    """Why the shard takes no writes, for people; empty where it does."""
    shard = look.shard
    if shard.phase is Phase.FORMING:
        return "its replicas are starting"
    if shard.phase is Phase.ELECTING:
        short = shortfall(shard.configs, [one for one in _voters(look) if look.alive(one)])
        return short or "a leader is being chosen"
    alive, need = sum(look.alive(one) for one in shard.members), quorum(len(shard.members))
    if alive < need:
        return f"{alive} of its {len(shard.members)} replicas answer; {need} are needed to acknowledge"
    if shard.leader is not None and not look.alive(shard.leader):
        return f"its leader, replica {shard.leader}, does not answer"
    return f"the leader of epoch {shard.epoch} begins" if shard.phase is Phase.SETTLING else ""


def _voters(look: Look) -> Members:
    """Those who may have something that was committed; of a shard that never was, all that have a place."""
    if not look.shard.configs:
        return tuple(one.number for one in look.shard.replicas if one.node)
    return tuple(sorted({number for config in look.shard.configs for number in config}))


def _elected(look: Look) -> Step:
    shard, epoch, voters = look.shard, look.next_epoch, _voters(look)
    promises = {one: promise for one in voters if (promise := look.promise(one, epoch)) is not None}
    configs = shard.configs or (voters,)
    missing = [one for one in voters if one not in promises]
    if shard.phase is Phase.FORMING:
        # Nothing is lost by waiting: nobody has written anything.
        waited = all(look.view(one).unheard > START_SECONDS for one in missing)
        if not (waited and len(promises) >= quorum(len(voters))):
            return Step(shard)
    elif any(look.alive(one) for one in missing) and look.snapshot.now - shard.since < ANSWER_SECONDS:
        return Step(shard)
    leader = choose(configs, promises, _liked(look))
    if leader is None:
        return Step(shard)
    aim = shard.aim or voters
    members = aim if leader in aim else (*aim, leader)
    chosen = shard.after(
        Event.CHOSEN,
        epoch=epoch,
        leader=leader,
        members=members,
        aim=(),
        replicas=tuple(replace(one, begun=one.begun or look.holds_promise(one.number)) for one in shard.replicas),
        configs=tuple(dict.fromkeys((*shard.configs, members))),
    )
    return Step(chosen, "LeaderChosen", f"replica {leader} leads epoch {epoch}: of those who answered none has more")


def _liked(look: Look) -> list[int]:
    """Who is whole first, then the leader there is, then in an order that spreads the leaders of a collection."""
    shard = look.shard
    order = sorted(one.number for one in shard.replicas)
    turn = shard.number % len(order) if order else 0
    rest = (*order[turn:], *order[:turn])
    return sorted(rest, key=lambda number: (not look.whole(number), number != shard.leader))


def _settled(look: Look) -> bool:
    shard = look.shard
    standing = look.view(shard.leader).standing if shard.leader is not None else None
    return (
        shard.phase is Phase.SETTLING
        and standing is not None
        and standing.epoch == shard.epoch
        and standing.committed_epoch == shard.epoch
    )


def _settle(look: Look) -> Step:
    """Whoever was a member and is none now goes: nothing hangs on it any more."""
    shard = look.shard
    former = {number for config in shard.configs for number in config} - set(shard.members)
    seen = [replace(one, begun=one.begun or look.holds_promise(one.number)) for one in shard.replicas]
    settled = shard.after(
        Event.SETTLED,
        configs=(shard.members,),
        replicas=tuple(one for one in seen if one.number not in former),
        ending=(*shard.ending, *(one for one in shard.replicas if one.number in former)),
    )
    return Step(settled, "Settled", f"replica {shard.leader} leads {len(shard.members)} replicas")


def _leader_lost(look: Look) -> str:
    """Why another should lead; empty where the one there is does, or where too few others live to choose from."""
    shard = look.shard
    if shard.leader is None:
        return ""
    others = [one for one in _voters(look) if one != shard.leader and look.alive(one)]
    view = look.view(shard.leader)
    why = look.lost(shard.leader) or look.absent(shard.leader)
    if not why and view.unheard > LEADER_SECONDS:
        why = f"it has not answered for {LEADER_SECONDS:g} s"
    if not why and view.standing is not None:
        why = _does_not_lead(look, view.standing)
        others.append(shard.leader)  # it promises like everybody else
    return f"replica {shard.leader}: {why}" if why and enough(shard.configs, others) else ""


def _does_not_lead(look: Look, standing: Standing) -> str:
    """Why a leader that answers cannot lead; empty where it does, or nobody else could."""
    shard = look.shard
    if standing.promised > shard.epoch:
        return f"it has promised epoch {standing.promised}"
    if standing.epoch == shard.epoch and not standing.leads:
        return "it leads no more: its disk lost entries that others have"
    if look.snapshot.now - shard.since <= LEADER_SECONDS:
        return ""
    if not standing.reached and sum(look.alive(one) for one in shard.members) >= quorum(len(shard.members)):
        return "it does not reach its followers"
    if standing.degraded and any(look.whole(one) for one in shard.members):
        return f"another is whole, and it is not: {'; '.join(standing.degraded)}"
    return ""


def _change(look: Look) -> tuple[Members, str] | None:
    """Other members, one at a time, and why; None where they are as they should be, or cannot be changed yet."""
    shard, wanted = look.shard, look.collection.spec.replicas
    alive = [one for one in _voters(look) if look.alive(one)]
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

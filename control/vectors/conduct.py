"""What becomes of one shard: who leads it, and with whom. Pure.

A change is written down first, with what the decision saw (compare-and-set); what its replicas are told follows from
what is written, by the next pass. So two lives of this actor can never make two leaders of one epoch.
"""

from __future__ import annotations

from dataclasses import replace

from control.specs.replica import Standing
from control.vectors.election import choose, enough, quorum, shortfall
from control.vectors.look import LEADER_SECONDS, START_SECONDS, Look
from control.vectors.members import change_of
from control.vectors.state import Event, Phase
from control.vectors.step import Step

ANSWER_SECONDS = 3.0
"""So long the promises of replicas that live are waited for, where enough have promised."""


def advance(look: Look) -> Step:
    """The next state of a shard whose collection is wanted."""
    shard = look.shard
    if shard.phase.asks_promises:
        return _elected(look)
    if (position := _filled(look)) is not None:
        return Step(replace(shard, filled=position), "Filled", f"it has all rows of the shards before it: {position}")
    if shard.phase.led:
        if _settled(look):
            return _settle(look)
        if why := _leader_lost(look):
            return Step(shard.after(Event.LOST, aim=shard.members), "LeaderLost", why)
        if change := change_of(look):
            aim, why = change
            return Step(shard.after(Event.CHANGED, aim=aim), "MembersChange", why)
    return Step(shard)


def waits(look: Look) -> str:
    """Why the shard takes no writes, for people; empty where it does."""
    shard = look.shard
    if shard.phase is Phase.FORMING:
        return "its replicas are starting"
    if shard.phase is Phase.ELECTING:
        short = shortfall(shard.configs, [one for one in look.voters if look.alive(one)])
        return short or "a leader is being chosen"
    alive, need = sum(look.alive(one) for one in shard.members), quorum(len(shard.members))
    if alive < need:
        return f"{alive} of its {len(shard.members)} replicas answer; {need} are needed to acknowledge"
    if shard.leader is not None and not look.alive(shard.leader):
        return f"its leader, replica {shard.leader}, does not answer"
    return f"the leader of epoch {shard.epoch} begins" if shard.phase is Phase.SETTLING else ""


def _elected(look: Look) -> Step:
    shard, epoch, voters = look.shard, look.next_epoch, look.voters
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
    others = len(shard.members) - 1
    return Step(settled, "Settled", f"replica {shard.leader} leads, {others or 'none'} follow{'s' * (others == 1)}")


def _filled(look: Look) -> int | None:
    """Up to where in its log it has all rows of the layout that serves, where its leader says so."""
    shard, filling = look.shard, look.standing.filling if look.standing else None
    if shard.filled >= 0 or shard.phase is not Phase.SERVING or filling is None or not shard.attempt:
        return None
    return filling.position if filling.filled == shard.attempt else None


def _leader_lost(look: Look) -> str:
    """Why another should lead; empty where the one there is does, or where too few others live to choose from."""
    shard = look.shard
    if shard.leader is None:
        return ""
    others = [one for one in look.voters if one != shard.leader and look.alive(one)]
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

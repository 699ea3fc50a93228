"""How a collection stands, in words, and what of it is told of its shards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control.specs.replica import Filling
from control.vectors.conduct import waits
from control.vectors.layouts import CLOSE_ENTRIES, layouts_of
from control.vectors.look import Look
from control.vectors.state import Phase

WELL = ("leads", "follows")


def stands(shards: Sequence[tuple[Look, str]]) -> dict[str, Any]:
    """The status: of each shard the look and why a replica of it has no place. Nothing in it changes by the second.

    `shards` in it are those that serve; `move` has those of the next layout while there is one.
    """
    layouts = layouts_of(look.shard for look, _ in shards)
    serving = [(look, refused) for look, refused in shards if look.shard in layouts.serving]
    told = [_shard(look, refused) for look, refused in serving]
    move = [_shard(look, refused) for look, refused in shards if look.shard in layouts.filling]
    phase, reason = _phase(serving, told, _moves(told, move))
    return {"phase": phase, "reason": reason, "shards": told, **({"move": move} if move else {})}


def _moves(told: Sequence[dict[str, Any]], move: Sequence[dict[str, Any]]) -> str:
    """How far the move is, and what it waits for; empty where there is none."""
    if not move:
        return ""
    said = (next(iter(one["lacks"]), one["waits"]) if one["waits"] else one["fills"] for one in move)
    each = "; ".join(f"new shard {one['shard']}: {what}" for one, what in zip(move, said, strict=True))
    return f"rows move from {_count(len(told), 'shard')} to {len(move)}, which the old ones serve until then: {each}"


def _fills(filling: Filling | None) -> str:
    """In a few words, of which there are not many."""
    if filling is None:
        return "begins to copy"
    if filling.trouble:
        return f"cannot go on: {filling.trouble}"
    if filling.filled:
        return "has all rows"
    if filling.copied < 1:
        return f"has copied about {5 * int(20 * filling.copied)} %"
    return "is close behind" if filling.behind <= CLOSE_ENTRIES else "has copied the rows, and follows the writes"


def _phase(shards: Sequence[tuple[Look, str]], told: Sequence[dict[str, Any]], moves: str) -> tuple[str, str]:
    lacks = [f"shard {one['shard']}: {lack}" for one in told for lack in one["lacks"]]
    for look, one in zip((look for look, _ in shards), told, strict=True):
        if one["waits"]:
            said = (f"shard {one['shard']} takes no writes: {one['waits']}", *one["lacks"][:1])
            begins = look.shard.epoch == 0 or (look.shard.epoch == 1 and look.shard.phase is Phase.SETTLING)
            return ("Starting" if begins else "Degraded"), "; ".join(said)
    if moves:
        return "Moving", "; ".join((moves, *lacks[:1]))
    if lacks:
        return "Degraded", "; ".join(lacks[:3]) + (f"; and {len(lacks) - 3} more" if len(lacks) > 3 else "")
    replicas = [one for shard in told for one in shard["replicas"]]
    building = sum(one["builds"] for one in replicas)
    if building:
        return "Rebuilding", f"{building} of {len(replicas)} replicas build indexes anew; searches go on meanwhile"
    return "Ready", f"{_count(len(told), 'shard')}, {_count(len(replicas), 'replica')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _shard(look: Look, refused: str) -> dict[str, Any]:
    """As JSON, so that it equals what the store has of it."""
    shard = look.shard
    replicas = []
    for one in shard.replicas:
        state, why = look.state(one.number)
        standing = look.view(one.number).standing
        behind = standing is not None and standing.generation < look.collection.generation
        builds = bool(standing and (standing.building or behind))
        replicas.append({"replica": one.number, "node": one.node, "state": state, "reason": why, "builds": builds})
    lacks = [f"replica {one['replica']}: {one['reason']}" for one in replicas if one["state"] not in WELL]
    lacks += [f"a replica has no place: {refused}"] if refused else []
    return {
        "shard": shard.number,
        "phase": shard.phase.value,
        "epoch": shard.epoch,
        "leader": shard.leader,
        "members": list(shard.members),
        "waits": waits(look),
        "fills": _fills(look.standing.filling if look.standing else None) if shard.filled < 0 else "",
        "lacks": lacks,
        "replicas": replicas,
        "ending": len(shard.ending),
    }

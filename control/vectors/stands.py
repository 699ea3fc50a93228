"""How a collection stands, in words, and what of it is told of its shards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control.vectors.conduct import waits
from control.vectors.look import Look
from control.vectors.state import Phase

WELL = ("leads", "follows")


def stands(shards: Sequence[tuple[Look, str]]) -> dict[str, Any]:
    """The status: of each shard the look and why a replica of it has no place. Nothing in it changes by the second."""
    told = [_shard(look, refused) for look, refused in shards]
    phase, reason = _phase(shards, told)
    return {"phase": phase, "reason": reason, "shards": told}


def _phase(shards: Sequence[tuple[Look, str]], told: Sequence[dict[str, Any]]) -> tuple[str, str]:
    lacks = [f"shard {one['shard']}: {lack}" for one in told for lack in one["lacks"]]
    for look, one in zip((look for look, _ in shards), told, strict=True):
        if one["waits"]:
            said = (f"shard {one['shard']} takes no writes: {one['waits']}", *one["lacks"][:1])
            begins = look.shard.epoch == 0 or (look.shard.epoch == 1 and look.shard.phase is Phase.SETTLING)
            return ("Starting" if begins else "Degraded"), "; ".join(said)
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
        "lacks": lacks,
        "replicas": replicas,
        "ending": len(shard.ending),
    }

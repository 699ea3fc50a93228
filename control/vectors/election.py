"""Who leads a shard next. Pure.

An entry is committed when more than half of an epoch's members have it on disk. Whoever promised to follow none but the
next leader takes nothing more from the former one; so when in every membership that may have committed something so
many promised that the rest are no majority, the greatest log among them has every entry that was acknowledged. That is
the argument of Raft's elections and of its joint consensus (Ongaro, "Consensus: Bridging Theory and Practice", 3.4 and
4.3), with promises in the place of votes because the store chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from control.specs.replica import Promise

Members = tuple[int, ...]


def quorum(members: int) -> int:
    """How many of so many have to have an entry before it is committed."""
    return members // 2 + 1


def enough(configs: Iterable[Members], answered: Collection[int]) -> bool:
    """Whether nothing can be committed, or was, that none of those who `answered` knows."""
    return all(sum(one in answered for one in config) > len(config) - quorum(len(config)) for config in configs)


def shortfall(configs: Iterable[Members], answered: Collection[int]) -> str:
    """Who is missing, for people; empty where `enough` answered."""
    for config in configs:
        have, need = sum(one in answered for one in config), len(config) - quorum(len(config)) + 1
        if have < need:
            return f"{have} of its {len(config)} replicas answer; {need} are needed to lose nothing acknowledged"
    return ""


def choose(configs: Iterable[Members], promises: Mapping[int, Promise], liked: Sequence[int]) -> int | None:
    """The replica with the greatest log, or None while too few promised; of equal ones the first that is `liked`.

    Who lost entries says nothing about what was acknowledged, and counts only when nobody is left to be asked.
    """
    configs = tuple(configs)
    voters = {number for config in configs for number in config}
    told = {number: promise for number, promise in promises.items() if number in voters}
    whole = {number: promise for number, promise in told.items() if not promise.lost}
    if not enough(configs, whole) and told.keys() != voters:
        return None
    order = {number: place for place, number in enumerate(liked)}

    def merit(number: int) -> tuple[int, int, int, int]:
        promise = told[number]
        return promise.last_epoch, promise.last_seq, -order.get(number, len(order)), -number

    return max(whole or told, key=merit, default=None)

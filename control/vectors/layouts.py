"""The layouts of a collection: which of its shards serve, which are being filled, and what leads from those to these.

Pure. A layout shares all hashes of ids among its shards, which are numbered on from its first; no number comes twice.
Rows move from the layout that serves to the next one in a few steps, each stored before anybody is told:

* it begins: the shards of the next layout are made, and the leaders of those copy what there is and what is written;
* once all of them are close behind, the shards that serve are closed: their leaders take no writes any more;
* a shard of the next layout has all rows when every source says that it is closed in this attempt, and that was all;
* when all of them have, theirs is the layout that serves. What served before ends.

A closed shard is never closed for long: where a step is late the shards are opened again, and what was filled in that
attempt counts no more. Before the next layout serves the move can be undone; after that it never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from control.specs.replica import Fill, Filling, Move, Source
from control.vectors.state import Event, Phase, Shard

CLOSE_ENTRIES = 100
"""A shard that is this far behind its sources has what they have in some tenths of a second."""
CLOSED_SECONDS = 8.0
"""So long shards are closed at most, which usually takes a second: a leader that is lost now is replaced later."""
AGAIN_SECONDS = 20.0
"""After that they stay open at least for so long."""


@dataclass(frozen=True)
class Layouts:
    """Of one collection, by their numbers; `filling` is empty while nothing moves. Shards of former layouts, and those
    that are ending, are in neither.
    """

    serving: tuple[Shard, ...] = ()
    filling: tuple[Shard, ...] = ()

    def move_of(self, shard: Shard) -> Move:
        """What the leader of the shard is told."""
        if shard in self.serving:
            copied = any(one.leader is not None for one in self.filling)
            return Move(copied, shard.attempt if shard.closed else 0)
        sources = [one for one in self.serving if _overlap(one, shard)]
        told = (Source(tuple(str(one.called(n)) for n in one.members), one.part, one.parts) for one in sources)
        return Move(fill=Fill(shard.part, shard.parts, tuple(told), shard.attempt))


NONE = Layouts()


@dataclass(frozen=True)
class Turn:
    """A step of a move: the shards as they are to be stored, what happened in a word, and why."""

    shards: tuple[Shard, ...]
    event: str
    reason: str


def layouts_of(shards: Iterable[Shard]) -> Layouts:
    """`shards` are all that there are of one collection."""
    found: dict[tuple[int, int], list[Shard]] = {}
    for shard in sorted(shards, key=lambda shard: shard.number):
        if shard.phase is not Phase.ENDING:
            found.setdefault((shard.layout, shard.parts), []).append(shard)
    whole = [key for key, some in found.items() if len(some) == key[1] and all(one.filled >= 0 for one in some)]
    serving = max(whole, default=(-1, 0))
    filling = max((key for key in found if key[0] > serving[0]), default=(-1, 0))
    return Layouts(tuple(found.get(serving, ())), tuple(found.get(filling, ())))


def turn_of(layouts: Layouts, known: Iterable[Shard], wanted: int, ready: bool, now: float) -> Turn | None:
    """The next step towards `wanted` shards, None where there is none now. `known` are all shards there are, `ready`
    says that every shard of the next layout is close behind.
    """
    serving, filling = layouts.serving, layouts.filling
    if not serving:
        return None
    parts, closed, turned = serving[0].parts, serving[0].closed, serving[0].turned
    if not filling:
        return _begun(serving, known, wanted) if wanted != parts else None
    if filling[0].parts != wanted:
        opened = tuple(replace(one, closed=False) for one in serving)
        ended = (one.after(Event.UNWANTED, replicas=(), ending=(*one.ending, *one.replicas)) for one in filling)
        return Turn((*opened, *ended), "MoveUndone", f"{wanted} shards are wanted, not {filling[0].parts}")
    if closed and now - turned > CLOSED_SECONDS:
        opened = tuple(replace(one, closed=False, turned=now) for one in serving)
        late = tuple(replace(one, attempt=0, filled=-1) for one in filling)
        return Turn((*opened, *late), "MoveLate", f"not all rows were in the new shards within {CLOSED_SECONDS:g} s")
    if not closed and ready and now - turned > AGAIN_SECONDS:
        attempt = 1 + max(one.attempt for one in serving)
        shut = tuple(replace(one, closed=True, attempt=attempt, turned=now) for one in serving)
        last = tuple(replace(one, attempt=attempt) for one in filling)
        return Turn(
            (*shut, *last), "MoveCloses", "the new shards are close behind: writes wait until they have all rows"
        )
    return None


def is_ready(filling: Filling | None) -> bool:
    return filling is not None and filling.copied >= 1 and filling.behind <= CLOSE_ENTRIES and not filling.trouble


def _begun(serving: tuple[Shard, ...], known: Iterable[Shard], wanted: int) -> Turn:
    first = max(max(one.spent, one.number + 1) for one in known)
    about, spent = serving[0], first + wanted
    made = (
        Shard(
            f"{about.collection}.{about.life}.{number}", about.collection, about.life, number,
            layout=first, parts=wanted, filled=-1, spent=spent,
        )
        for number in range(first, spent)
    )  # fmt: skip
    marked = (replace(one, spent=spent) for one in serving)
    return Turn((*marked, *made), "MoveBegun", f"from {about.parts} to {wanted} shards")


def _overlap(one: Shard, other: Shard) -> bool:
    """Whether some hash is in both parts."""
    return (
        one.part * other.parts < (other.part + 1) * one.parts and other.part * one.parts < (one.part + 1) * other.parts
    )

"""Who leads a shard next: decided from what its members promised. Pure.

The members asked are those of the epoch before: only their promises say that its leader acknowledges nothing more, and
only their logs hold what it acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control.vector_promise import Promise, promises_needed


@dataclass(frozen=True)
class Election:
    """`leader` may lead `epoch`, or is "" while nobody can. `why` is for people; it says so where entries are lost."""

    epoch: int
    leader: str
    why: str


def elect(epoch: int, members: Sequence[str], promises: Mapping[str, Promise]) -> Election:
    """Of `members` those in `promises` have answered. Of equal logs the first member's wins."""
    answers = {name: promises[name] for name in members if name in promises and promises[name].epoch == epoch}
    sound = {name: promise for name, promise in answers.items() if not promise.lost}
    needed = promises_needed(len(members))
    if len(sound) >= needed:
        leader = max(sound, key=lambda name: sound[name].log)
        return Election(epoch, leader, f"{leader} has the longest log of {len(sound)} of {len(members)} members")
    if len(answers) == len(members):
        leader = max(answers, key=lambda name: answers[name].log)
        damaged = " and ".join(name for name in answers if name not in sound)
        return Election(epoch, leader, f"{leader} has the longest log left; acknowledged writes may be lost: {damaged}")
    silent = " and ".join(name for name in members if name not in answers)
    damaged = "".join(f"; the log of {name} is damaged" for name in answers if name not in sound)
    return Election(epoch, "", f"{needed} of {len(members)} members must promise; nothing from {silent}{damaged}")

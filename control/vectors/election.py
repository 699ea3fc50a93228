"""Who leads a shard next: decided from what its members promised. Pure.

Asked are the members of the last epoch whose leader is known to have got its first entry to a quorum (`established` in
its standing), and of every epoch after it: before that, what was acknowledged may be with the members of the epoch
before only. So a group for each different set of members, and enough promises of each.
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


def elect(epoch: int, groups: Sequence[Sequence[str]], promises: Mapping[str, Promise]) -> Election:
    """`promises` by member; who is missing has not answered. Of equal logs the first member's wins."""
    asked = tuple(dict.fromkeys(name for group in groups for name in group))
    answers = {name: promises[name] for name in asked if name in promises and promises[name].epoch == epoch}
    sound = [name for name in answers if not answers[name].lost]
    damaged = [name for name in answers if answers[name].lost]
    if all(len(set(sound) & set(group)) >= promises_needed(len(group)) for group in groups):
        leader = max(sound, key=lambda name: answers[name].log)
        return Election(epoch, leader, f"{leader} has the longest log of {len(sound)} of {len(asked)} members")
    if len(answers) == len(asked):
        leader = max(answers, key=lambda name: answers[name].log)
        lost = f"acknowledged writes may be lost, as the logs of {' and '.join(damaged)} are damaged"
        return Election(epoch, leader, f"{leader} has the longest log left; {lost}")
    needed = " and ".join(f"{promises_needed(len(group))} of {len(group)}" for group in groups)
    silent = " and ".join(name for name in asked if name not in answers)
    broken = "".join(f"; the log of {name} is damaged" for name in damaged)
    return Election(epoch, "", f"{needed} members must promise, and {silent} did not answer{broken}")

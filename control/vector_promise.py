"""What the members of a shard promise to whoever changes their leader. Pure values that the control and the data plane
share.

A shard has members, one of which leads in an epoch. What most of them (`quorum`) have on disk is never lost: of any
`promises_needed` members at least one has it.
"""

from __future__ import annotations

from dataclasses import dataclass


def quorum(members: int) -> int:
    """How many of so many must have an entry on disk before it counts."""
    return members // 2 + 1


def promises_needed(members: int) -> int:
    """The fewest members that cannot all lack what a quorum has."""
    return members - quorum(members) + 1


@dataclass(frozen=True)
class Promise:
    """A replica takes nothing more from leaders of epochs before `epoch`, whatever happens to it.

    `log` says how far its log goes: of two, the greater one has every acknowledged entry of the other. `lost` is set
    where entries that it had are gone from its disk: what it has says nothing then about what was acknowledged.
    """

    epoch: int
    log: tuple[int, int]
    lost: bool = False

"""What a leader knows of the members of its epoch: what they have on disk, and until when nobody else can lead. Pure.

The lease: members that answered a leader had not promised a later epoch when it asked, and a later leader keeps quiet
for `LEASE_SECONDS` after such promises. So for that long after a quorum was asked, nobody else acknowledges anything.
"""

from __future__ import annotations

from collections.abc import Sequence

LEASE_SECONDS = 2.0
QUIET_SECONDS = 2.2
"""Longer than the lease: clocks of two machines do not run alike."""
NEVER = float("-inf")


def quorum(members: int) -> int:
    """How many of so many must have an entry on disk before it counts."""
    return members // 2 + 1


class Progress:
    """Of the epoch whose first entry is `first`; times are seconds of the leader's own clock."""

    def __init__(self, me: str, members: Sequence[str], first: int) -> None:
        self._me, self._first = me, first
        self._quorum = quorum(len(members))
        self._matched = dict.fromkeys(members, 0)
        self._asked = dict.fromkeys(members, NEVER)

    def matches(self, member: str, seq: int) -> None:
        """The member, or the leader itself, has everything up to `seq` on disk; who is no member is left out."""
        if member in self._matched:
            self._matched[member] = seq

    def answered(self, member: str, asked: float) -> None:
        """The member still followed when it answered what it was asked at `asked`."""
        if member in self._asked:
            self._asked[member] = max(asked, self._asked[member])

    @property
    def matched(self) -> dict[str, int]:
        return dict(self._matched)

    @property
    def committed(self) -> int:
        """A quorum and the leader have everything up to it on disk; 0 until they have the epoch's first entry, as what
        earlier epochs left could still be replaced until then.
        """
        seq = min(sorted(self._matched.values(), reverse=True)[self._quorum - 1], self._matched[self._me])
        return seq if seq >= self._first else 0

    @property
    def everywhere(self) -> int:
        """Every member has everything up to it on disk."""
        return min(self._matched.values())

    def lease_end(self, now: float) -> float:
        """Before it nobody else acknowledges anything."""
        asked = sorted((now if one == self._me else at for one, at in self._asked.items()), reverse=True)
        return asked[self._quorum - 1] + LEASE_SECONDS

    def silent(self, now: float) -> tuple[str, ...]:
        """Members that have not answered for a lease's time."""
        return tuple(one for one, at in self._asked.items() if one != self._me and at + LEASE_SECONDS < now)

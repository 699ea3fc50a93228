"""Whether a follower may put a leader's entries into its log, and what it cuts off for them. Pure.

The rule of Raft: only behind an entry that both logs have. Two logs that have one entry in common have all before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.vectors.entry import Entry, Position


@dataclass(frozen=True)
class Taken:
    """`fresh` are appended, once everything after `cut` is off (None: nothing is). Then the log has all that the leader
    has up to `matched`.
    """

    fresh: tuple[Entry, ...]
    cut: int | None
    matched: int


@dataclass(frozen=True)
class Unmatched:
    """Nothing is appended; the leader is to go on behind `after`."""

    after: int


def accept(
    previous: Position,
    entries: Sequence[Entry],
    last: Position,
    committed: int,
    term_at: Callable[[int], int],
) -> Taken | Unmatched:
    """`entries` follow on `previous` in the leader's log; this one goes up to `last`, and is final up to `committed`.

    `term_at` is asked for numbers above `committed` and up to `last` only. Raises ValueError where final entries would
    be cut: then it was no leader of this shard who sent them.
    """
    if previous.seq > last.seq:
        return Unmatched(last.seq)
    if previous.seq > committed and term_at(previous.seq) != previous.epoch:
        return Unmatched(committed)  # what is final, both have
    for index, entry in enumerate(entries):
        if entry.seq > last.seq:
            return Taken(tuple(entries[index:]), None, entries[-1].seq)
        if entry.seq > committed and term_at(entry.seq) != entry.epoch:
            return Taken(tuple(entries[index:]), entry.seq - 1, entries[-1].seq)
    return Taken((), None, max(previous.seq, entries[-1].seq if entries else 0))

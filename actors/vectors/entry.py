"""One entry of a shard's log: what is replicated, and what a crash must not lose once it was acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What an entry does. Its number is on disk."""

    UPSERT = 1  # body: an Arrow IPC stream of whole rows (`rows.row_schema`); the last of an id wins
    DELETE = 2  # body: an Arrow IPC stream of one column, `id`
    LEAD = 3  # empty body: the first entry of a leader, which makes what it has of earlier epochs its own


@dataclass(frozen=True)
class Entry:
    """`epoch` of the leader that wrote it; `seq` counts the shard's entries from 1, without gaps.

    Partial updates and deletions by filter are resolved by the leader before they become entries, so that every
    replica does the same whatever it has sealed by then.
    """

    epoch: int
    seq: int
    kind: Kind
    body: bytes


@dataclass(frozen=True, order=True)
class Position:
    """How far a log goes: of two logs, the greater one has every acknowledged entry of the other."""

    epoch: int
    seq: int

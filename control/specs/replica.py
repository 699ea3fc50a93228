"""What a replica of a shard is told and what it answers: the contract between vectors control and the replica's actor.

The actor's methods, besides those for data, all idempotent: `promise(epoch) -> Promise`, `lead(Assignment)`,
`follow(Assignment)`, `retune(generation, spec)` and `standing() -> Standing`. What it promised and the assignment that
it took last are durable before the method returns; it takes none of an epoch below its promise.
"""

from __future__ import annotations

from dataclasses import dataclass

from control.specs.collection import CollectionSpec


@dataclass(frozen=True)
class ReplicaRequest:
    """What the actor is made with. `directory` is its own and survives it; `generation` counts the collection's specs.

    It claims `devices` first, for `workload`, in the directory `claims` of its node.
    """

    actor: str
    directory: str
    generation: int
    spec: CollectionSpec
    devices: tuple[str, ...] = ()
    workload: str = ""
    claims: str = ""


@dataclass(frozen=True)
class Promise:
    """From now on it refuses leaders of epochs below `epoch`. Its log goes to (`last_epoch`, `last_seq`); where its
    disk has `lost` entries that it had, that says nothing about what was acknowledged.
    """

    epoch: int
    last_epoch: int
    last_seq: int
    lost: bool = False


@dataclass(frozen=True)
class Source:
    """A shard that rows come from: the names of its members, and which part of `parts` of all hashes is its own."""

    members: tuple[str, ...]
    part: int
    parts: int


@dataclass(frozen=True)
class Fill:
    """A shard of another layout gets its rows from `sources`: those whose ids belong to `part` of `parts`.

    It has all of them once every source is closed in the `attempt`, and has nothing more; 0 while they are open.
    """

    part: int
    parts: int
    sources: tuple[Source, ...]
    attempt: int = 0


@dataclass(frozen=True)
class Move:
    """What another number of shards asks of one. While it `feeds` others its members keep their logs. A leader that is
    `closed` (the number of the attempt; 0 while it is open) takes no writes, and answers no fresh reads.
    """

    feeds: bool = False
    closed: int = 0
    fill: Fill | None = None


STILL = Move()


@dataclass(frozen=True)
class Assignment:
    """`leader`, `members` and `learners` are names of actors. Learners are fed by the leader and count for nothing.

    Of two of one epoch the one with the greater `number` holds.
    """

    epoch: int
    leader: str
    members: tuple[str, ...]
    learners: tuple[str, ...] = ()
    number: int = 0
    move: Move = STILL


@dataclass(frozen=True)
class Filling:
    """How far a leader is with the rows of an earlier layout: the share that is `copied`, 0 to 1, and how many entries
    of the sources' logs it is `behind`; `trouble` says what it waits for.

    `filled` is the attempt in which it got all of them, 0 for none: up to the entry `position` of its own log.
    """

    copied: float = 0.0
    behind: int = 0
    trouble: str = ""
    filled: int = 0
    position: int = 0


@dataclass(frozen=True)
class Standing:
    """How a replica is. `promised` and `epoch` (of the assignment that it took) are 0 while its directory is empty.

    `leads` says whether it is that epoch's leader. `committed_epoch` is that of the last entry that it knows to be
    committed, `last_seq` how far its log goes. `reached` is False of a leader to which a quorum has not answered for a
    while. `building` counts segments whose index is still to be built as the spec of `generation` wants it. `degraded`
    says what it could not open, and why. `filling` is that of a leader that has rows to get.
    """

    pid: int
    generation: int
    promised: int = 0
    epoch: int = 0
    leads: bool = False
    committed_epoch: int = 0
    last_seq: int = 0
    reached: bool = True
    building: int = 0
    degraded: tuple[str, ...] = ()
    filling: Filling | None = None

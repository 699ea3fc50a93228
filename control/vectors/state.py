"""What vectors control knows: collections that are wanted, their shards as goals, replicas as they are seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from control.kernel.ids import ReplicaName
from control.kernel.placement import Placement
from control.kernel.present import AppState, ReplicaView
from control.specs.collection import CollectionSpec
from control.vectors.placement import Room

Members = tuple[int, ...]
"""Replicas by their numbers."""


class Phase(Enum):
    """Where a shard stands."""

    FORMING = "Forming"  # it never had a leader: its replicas are placed and started
    ELECTING = "Electing"  # its replicas are asked to follow none but the next leader
    SETTLING = "Settling"  # a leader was chosen, and has not committed anything of its epoch yet
    SERVING = "Serving"
    ENDING = "Ending"  # its collection is not wanted any more, or other shards have its rows

    @property
    def asks_promises(self) -> bool:
        match self:
            case Phase.FORMING | Phase.ELECTING:
                return True
            case Phase.SETTLING | Phase.SERVING | Phase.ENDING:
                return False

    @property
    def led(self) -> bool:
        """Whether the leader of its epoch is to lead."""
        match self:
            case Phase.SETTLING | Phase.SERVING:
                return True
            case Phase.FORMING | Phase.ELECTING | Phase.ENDING:
                return False


class Event(Enum):
    """What one pass found out about a shard."""

    CHOSEN = "enough replicas promised, and a leader was chosen"
    SETTLED = "its leader committed an entry of its epoch"
    LOST = "its leader is gone, or does not reach its followers"
    CHANGED = "other replicas should be members"
    UNWANTED = "its collection is not wanted any more, or other shards have its rows"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.FORMING, Event.CHOSEN): Phase.SETTLING,
    (Phase.FORMING, Event.UNWANTED): Phase.ENDING,
    (Phase.ELECTING, Event.CHOSEN): Phase.SETTLING,
    (Phase.ELECTING, Event.UNWANTED): Phase.ENDING,
    (Phase.SETTLING, Event.SETTLED): Phase.SERVING,
    (Phase.SETTLING, Event.LOST): Phase.ELECTING,
    (Phase.SETTLING, Event.CHANGED): Phase.ELECTING,
    (Phase.SETTLING, Event.UNWANTED): Phase.ENDING,
    (Phase.SERVING, Event.LOST): Phase.ELECTING,
    (Phase.SERVING, Event.CHANGED): Phase.ELECTING,
    (Phase.SERVING, Event.UNWANTED): Phase.ENDING,
}


@dataclass(frozen=True)
class Replica:
    """One replica of a shard. `node` is empty while it has no place.

    `begun` once it was seen to hold a promise: found empty after that, it has lost its disk.
    """

    number: int
    node: str = ""
    begun: bool = False


@dataclass(frozen=True)
class Shard:
    """The goal of one shard, as it is stored.

    `members` are those of `epoch`, under `leader`. `configs` are the memberships under which entries may have been
    committed: the last one that settled and all since. `aim` is the next epoch's. `replicas` has learners too; those
    in `ending` are to go with their files, `next` is the number of the next. `generation` counts its stored states, of
    which this one is there `since` (Unix seconds); `revision` is the store's.

    It is one of the `parts` of a layout whose first shard is number `layout`. Up to the entry `filled` of its log it
    has the rows of the layout before it; -1 while it lacks some. While it is `closed`, for the `attempt`th time, its
    leader takes no writes; `turned` is when it was closed or opened last. Of a shard that is being filled `attempt` is
    that in which it may get the last rows, 0 for none. `spent` numbers of shards were given out in the collection.
    """

    name: str
    collection: str
    life: str
    number: int
    phase: Phase = Phase.FORMING
    epoch: int = 0
    leader: int | None = None
    members: Members = ()
    configs: tuple[Members, ...] = ()
    aim: Members = ()
    replicas: tuple[Replica, ...] = ()
    ending: tuple[Replica, ...] = ()
    next: int = 0
    since: float = 0.0
    revision: int = 0
    generation: int = 0
    layout: int = 0
    parts: int = 0
    filled: int = 0
    attempt: int = 0
    closed: bool = False
    turned: float = 0.0
    spent: int = 0

    @property
    def part(self) -> int:
        """Which of the parts it is, from 0."""
        return self.number - self.layout

    def called(self, number: int) -> ReplicaName:
        return ReplicaName(self.collection, self.life, self.number, number)

    def replica(self, number: int) -> Replica | None:
        return next((one for one in self.replicas if one.number == number), None)

    @property
    def learners(self) -> Members:
        return tuple(one.number for one in self.replicas if one.number not in self.members)

    def after(self, event: Event, **change: Any) -> Shard:
        """Raises KeyError where the event cannot happen in this phase."""
        return replace(self, phase=TRANSITIONS[self.phase, event], **change)


@dataclass(frozen=True)
class Collection:
    """A collection as wanted, with what the store last said of it."""

    name: str
    life: str
    generation: int
    revision: int
    spec: CollectionSpec
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """Where things are on this plane: the directory of all collections, that of the claims of devices, the internal
    key.
    """

    directory: str
    claims: str
    internal_key_file: str


@dataclass(frozen=True)
class Snapshot:
    """One look. `rooms` are the nodes, by the name that lasts; `away` tells for how many seconds one has been gone that
    was there. `replicas` and `placements` are keyed by actor and workload; `asked` are the workloads that are stored,
    `sizes` has the bytes of memory that each actor last said it takes. `unreadable` are the lives of collections that
    an older plane wrote and this one cannot read: nothing of them is touched. `table` is the table as published at
    `published_at`, None before the first. `app` is how the vectors API's application is, `embeds` whether the embedder
    runs.
    """

    now: float
    collections: tuple[Collection, ...]
    shards: tuple[Shard, ...]
    rooms: Mapping[str, Room]
    replicas: Mapping[str, ReplicaView]
    surroundings: Surroundings
    away: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    table: Mapping[str, Any] | None = None
    published_at: float = 0.0
    app: AppState = AppState.ABSENT
    embeds: bool = False


def to_json(shard: Shard) -> dict[str, Any]:
    """As the store keeps it: `from_json` reads it."""
    told = asdict(shard)
    for name in ("name", "since", "revision", "generation"):
        del told[name]
    lists = {name: list(told[name]) for name in ("members", "aim", "replicas", "ending")}
    return {**told, **lists, "phase": shard.phase.value, "configs": [list(one) for one in shard.configs]}


def from_json(name: str, told: Mapping[str, Any], *, since: float, revision: int, generation: int) -> Shard:
    return Shard(
        **{
            **told,
            "phase": Phase(told["phase"]),
            "members": tuple(told["members"]),
            "aim": tuple(told["aim"]),
            "configs": tuple(tuple(one) for one in told["configs"]),
            "replicas": tuple(Replica(**one) for one in told["replicas"]),
            "ending": tuple(Replica(**one) for one in told["ending"]),
        },
        name=name,
        since=since,
        revision=revision,
        generation=generation,
    )

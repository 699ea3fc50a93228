"""What a decision may ask for: records (changes of the store) and effects (changes of the world).

A `decide` function returns a `Plan`. The loop commits its records in one transaction, then hands its effects to
`drive`. Every action carries the reason that a user will read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control.specs.collection import CollectionSpec
from control.specs.inventory import CutOrder
from control.specs.replica import Assignment, ReplicaRequest
from control.specs.step import DeviceGrant, StepRequest


@dataclass(frozen=True, kw_only=True)
class Record:
    """A change of one stored object, and the event that says why. `event` is one word in CamelCase.

    `revision`, where given, is the revision that the decision saw: the commit fails when it is no longer current.
    """

    kind: str
    name: str
    event: str
    reason: str
    revision: int | None = None


@dataclass(frozen=True, kw_only=True)
class Create(Record):
    """Create an object unless it exists: doing it twice is doing it once."""

    spec: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PutSpec(Record):
    """Create an object or change what is wanted of it (a new generation).

    The spec that is there already changes nothing, unless it is wanted `again`.
    """

    spec: Mapping[str, Any]
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class PutStatus(Record):
    """Set what was observed of an object. `quiet` leaves no event (a detail changed, not a state)."""

    status: Mapping[str, Any]
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Remove(Record):
    """Remove an object; its events stay."""


@dataclass(frozen=True, kw_only=True)
class Note(Record):
    """Only an event."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A change of the world. `kind` and `name` say which object it serves."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class EnsureStep(Effect):
    """A step actor named `actor` runs `entrypoint` on `request`.

    With `gang` the step places its own workers (Ray Train); otherwise its actor itself takes the granted devices.
    """

    actor: str
    entrypoint: str
    request: StepRequest
    gang: bool


@dataclass(frozen=True, kw_only=True)
class EndStep(Effect):
    """No step actor of this name."""

    actor: str


@dataclass(frozen=True, kw_only=True)
class EnsureApp(Effect):
    """A Serve application named `app`, built by `builder(args)`, is deployed, at `route_prefix` where it has one."""

    app: str
    route_prefix: str = ""
    builder: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EndApp(Effect):
    """No Serve application of this name."""

    app: str


@dataclass(frozen=True, kw_only=True)
class EnsureGroup(Effect):
    """A detached placement group named `group`: for each bundle Ray's node id and how much of each resource."""

    group: str
    bundles: tuple[tuple[str, Mapping[str, float]], ...]


@dataclass(frozen=True, kw_only=True)
class EndGroup(Effect):
    """No placement group of this name; what runs in it ends."""

    group: str


@dataclass(frozen=True, kw_only=True)
class SignalStep(Effect):
    """The step that works in `directory` is told to save what it has and to stop, for the given reason."""

    directory: str


@dataclass(frozen=True, kw_only=True)
class EnsureAgent(Effect):
    """The agent of Ray node `node_id` runs with the device driver at import path `driver`, made with `args`."""

    node_id: str
    driver: str
    args: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CutDevice(Effect):
    """The agent of Ray node `node_id` makes a device's MIG instances what `order` says (`control.specs.inventory`)."""

    node_id: str
    order: CutOrder


@dataclass(frozen=True, kw_only=True)
class EnsureActor(Effect):
    """A detached actor named `actor`, of the class at import path `entrypoint`, runs on the head node; up to `threads`
    of its calls at once. Ray starts it again whenever it dies.
    """

    actor: str
    entrypoint: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class EndActor(Effect):
    """No detached actor of this name."""

    actor: str


@dataclass(frozen=True, kw_only=True)
class EnsureReplica(Effect):
    """The actor of a replica runs on Ray node `node_id`, on the granted devices where it needs some."""

    node_id: str
    request: ReplicaRequest
    grant: DeviceGrant | None = None


@dataclass(frozen=True, kw_only=True)
class EndReplica(Effect):
    """No actor of this name, and then no `directory` on Ray node `node_id`, nor anything in it."""

    actor: str
    node_id: str
    directory: str


@dataclass(frozen=True, kw_only=True)
class AskPromise(Effect):
    """The replica promises to follow no leader of an epoch below `epoch`."""

    actor: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class AssignReplica(Effect):
    """The replica takes its part."""

    actor: str
    assignment: Assignment


@dataclass(frozen=True, kw_only=True)
class RetuneReplica(Effect):
    """The replica works by the `generation`th spec of its collection."""

    actor: str
    generation: int
    spec: CollectionSpec


@dataclass(frozen=True, kw_only=True)
class EnsureAlias(Effect):
    """The MLflow alias `alias` of `model` points at `version`, or at nothing when None."""

    model: str
    alias: str
    version: int | None


@dataclass(frozen=True)
class Plan:
    """One decision: what to write down, then what to do."""

    records: tuple[Record, ...] = ()
    effects: tuple[Effect, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.records + other.records, self.effects + other.effects)

    def __bool__(self) -> bool:
        return bool(self.records or self.effects)

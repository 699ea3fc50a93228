"""What is observed of the world: the other half of a snapshot, beside the goals in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from control.kernel.plan import Effect
from control.specs.inventory import NodeReport
from control.specs.replica import Assignment, Promise, Standing


class StepState(Enum):
    """What can be seen of one attempt at a step."""

    ABSENT = "absent"
    RUNNING = "running"
    LOST = "lost"  # it began, and its process is gone without a receipt
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class StepView:
    """One attempt at a step. `outputs` is filled when it succeeded, `error` when it failed.

    `progress` is what it last said of itself while it runs.
    """

    state: StepState
    outputs: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    progress: str = ""


class AppState(Enum):
    """What can be seen of a Serve application."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    SICK = "sick"  # was running; Serve is replacing replicas
    FAILED = "failed"
    ENDING = "ending"


@dataclass(frozen=True)
class AppView:
    state: AppState
    message: str = ""


@dataclass(frozen=True)
class NodeView:
    """A live Ray node: its hex id, labels, and the amount of every Ray resource it started with."""

    node_id: str
    labels: Mapping[str, str]
    resources: Mapping[str, float]
    used: Mapping[str, float] = field(default_factory=dict)
    """How much of each resource Ray has given out."""
    report: NodeReport | None = None
    """What the node's agent last said of its devices; None while it has not."""
    silent: float = 0.0
    """For how many seconds the agent has not answered."""
    hostname: str = ""


@dataclass(frozen=True)
class ReplicaView:
    """The actor of one replica: how it is, as it last said, and for how many seconds nothing was heard of it.

    `promise` is its answer to the last question, `told` the last assignment that it took since its process began.
    `trouble` says what it answered instead. Of one that was to be ended is only
    known whether it is `gone`, with its files.
    """

    standing: Standing | None = None
    unheard: float = 0.0
    promise: Promise | None = None
    told: Assignment | None = None
    trouble: str = ""
    gone: bool = False


class Drive(Protocol):
    """What the control plane can see and do. `control.kernel.drive` does it on Ray; tests have a twin without Ray."""

    def nodes(self) -> tuple[NodeView, ...]: ...

    def step(self, actor: str, directory: str) -> StepView: ...

    def actors(self, prefix: str) -> frozenset[str]: ...

    def apps(self) -> Mapping[str, AppView]: ...

    def groups(self) -> Mapping[str, bool]:
        """Placement groups made for workloads, by their names; True for those that Ray has placed."""
        ...

    def replicas(self) -> Mapping[str, ReplicaView]:
        """The actors of replicas that this process asked for, by their names."""
        ...

    def act(self, effect: Effect) -> None: ...

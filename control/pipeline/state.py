"""What the pipeline runner knows: workflows that are wanted, their runs, and how each task of a run stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from control.kernel.ids import StepName, life_of
from control.kernel.placement import Placement
from control.kernel.present import StepView
from control.pipeline.dag import Graph


class TaskState(Enum):
    """Where one task of one run stands."""

    WAITING = "Waiting"  # for the tasks it depends on
    PLACING = "Placing"  # for the scheduler's lease
    RUNNING = "Running"
    EVICTING = "Evicting"  # its devices are wanted back, or gone; its step has to end before it is placed again
    DEPLOYING = "Deploying"  # its step is done; the deployment it asked for is not ready yet
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def settled(self) -> bool:
        match self:
            case TaskState.SUCCEEDED | TaskState.FAILED | TaskState.SKIPPED | TaskState.CANCELLED:
                return True
            case TaskState.WAITING | TaskState.PLACING | TaskState.RUNNING | TaskState.EVICTING | TaskState.DEPLOYING:
                return False

    @property
    def holds_devices(self) -> bool:
        match self:
            case TaskState.PLACING | TaskState.RUNNING | TaskState.EVICTING:
                return True
            case (
                TaskState.WAITING
                | TaskState.DEPLOYING
                | TaskState.SUCCEEDED
                | TaskState.FAILED
                | TaskState.SKIPPED
                | TaskState.CANCELLED
            ):
                return False

    @property
    def has_step(self) -> bool:
        """Whether the actor of the present attempt may live."""
        match self:
            case TaskState.RUNNING | TaskState.EVICTING:
                return True
            case (
                TaskState.WAITING
                | TaskState.PLACING
                | TaskState.DEPLOYING
                | TaskState.SUCCEEDED
                | TaskState.FAILED
                | TaskState.SKIPPED
                | TaskState.CANCELLED
            ):
                return False


class TaskEvent(Enum):
    """What one pass found out about a task."""

    READY = "everything it needs is there"
    NEEDS_DEVICES = "everything but devices is there"
    CONDITION_FALSE = "its condition is false"
    UPSTREAM_UNDONE = "a task it depends on did not succeed"
    UNRESOLVED = "its parameters or its condition cannot be resolved"
    LEASED = "the scheduler gave it devices"
    DONE = "its step succeeded"
    DONE_DEPLOYS = "its step succeeded and asks for a deployment"
    BROKE = "its step failed"
    LOST = "its step's process is gone"
    SPENT = "its step's process is gone once too often"
    EVICTED = "its devices are wanted back, or gone"
    STOPPED = "its step has ended without an outcome, as it was told to"
    SERVES = "its deployment is ready"
    DEPLOYMENT_FAILED = "its deployment failed"
    CANCEL = "the run is not wanted any more"


TRANSITIONS: Mapping[tuple[TaskState, TaskEvent], TaskState] = {
    (TaskState.WAITING, TaskEvent.READY): TaskState.RUNNING,
    (TaskState.WAITING, TaskEvent.NEEDS_DEVICES): TaskState.PLACING,
    (TaskState.WAITING, TaskEvent.CONDITION_FALSE): TaskState.SKIPPED,
    (TaskState.WAITING, TaskEvent.UPSTREAM_UNDONE): TaskState.SKIPPED,
    (TaskState.WAITING, TaskEvent.UNRESOLVED): TaskState.FAILED,
    (TaskState.PLACING, TaskEvent.LEASED): TaskState.RUNNING,
    (TaskState.RUNNING, TaskEvent.DONE): TaskState.SUCCEEDED,
    (TaskState.RUNNING, TaskEvent.DONE_DEPLOYS): TaskState.DEPLOYING,
    (TaskState.RUNNING, TaskEvent.BROKE): TaskState.FAILED,
    (TaskState.RUNNING, TaskEvent.LOST): TaskState.RUNNING,
    (TaskState.RUNNING, TaskEvent.SPENT): TaskState.FAILED,
    (TaskState.RUNNING, TaskEvent.EVICTED): TaskState.EVICTING,
    (TaskState.EVICTING, TaskEvent.STOPPED): TaskState.PLACING,
    (TaskState.EVICTING, TaskEvent.DONE): TaskState.SUCCEEDED,
    (TaskState.EVICTING, TaskEvent.DONE_DEPLOYS): TaskState.DEPLOYING,
    (TaskState.EVICTING, TaskEvent.BROKE): TaskState.FAILED,
    (TaskState.DEPLOYING, TaskEvent.SERVES): TaskState.SUCCEEDED,
    (TaskState.DEPLOYING, TaskEvent.DEPLOYMENT_FAILED): TaskState.FAILED,
    (TaskState.WAITING, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.PLACING, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.RUNNING, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.EVICTING, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.DEPLOYING, TaskEvent.CANCEL): TaskState.CANCELLED,
}
"""Pairs that are missing cannot happen; the test walks the full product."""


class RunPhase(Enum):
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True)
class TaskStatus:
    """One task of one run as stored. Times in seconds since the epoch; `attempt` counts from 1.

    `evictions` counts the attempts that had to give their devices back. `lease` says which lease the present attempt
    runs on, `wanted_at` since when it should.
    """

    state: TaskState = TaskState.WAITING
    reason: str = "waits for its turn"
    attempt: int = 1
    outputs: Mapping[str, str] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    evictions: int = 0
    lease: str = ""
    wanted_at: float = 0.0

    def stored(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state.value}

    @staticmethod
    def read(body: Mapping[str, Any]) -> TaskStatus:
        return TaskStatus(**{**body, "state": TaskState(body["state"])})


@dataclass(frozen=True)
class Workflow:
    """A workflow as wanted now."""

    name: str
    uid: str
    generation: int
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run. `graph` is None, and `fault` says why, when the document no longer makes a graph.

    `labels` are those of its workflow.
    """

    name: str
    revision: int
    workflow: str
    uid: str
    generation: int
    graph: Graph | None
    fault: str
    parameters: Mapping[str, str]
    phase: RunPhase
    tasks: Mapping[str, TaskStatus]
    status: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for every restart of the run, and for no other run."""
        return f"{self.uid[:12]}-{self.generation}"

    def step(self, task: str, attempt: int = 1) -> StepName:
        return StepName(self.name, life_of(self.uid), task, attempt)


@dataclass(frozen=True)
class DeploymentView:
    """A deployment as stored: the version wanted (None: the latest), its phase, the reason, who takes traffic.

    `document` is what a person wrote; `rolling` says how far a roll-out is, empty where none goes on.
    """

    wanted: int | None
    phase: str
    reason: str
    versions: frozenset[int]
    document: Mapping[str, Any] = field(default_factory=dict)
    rolling: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Where steps find their directory and MLflow, and where they claim devices."""

    runs_directory: str
    mlflow_url: str
    claims_directory: str


@dataclass(frozen=True)
class Snapshot:
    """One look. `steps` has the present attempt of each task that has one, by actor name; `actors` every step actor."""

    now: float
    workflows: tuple[Workflow, ...]
    runs: tuple[Run, ...]
    steps: Mapping[str, StepView]
    actors: frozenset[str]
    placements: Mapping[str, Placement]
    deployments: Mapping[str, DeploymentView]
    surroundings: Surroundings

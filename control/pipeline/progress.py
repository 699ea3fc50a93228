"""What happened to one task since the last pass, one small rule for each state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from control.kernel.plan import Plan, PutSpec
from control.kernel.present import StepState, StepView
from control.pipeline.dag import Task, Unresolved, should_run
from control.pipeline.request import parameters_of, workload_of
from control.pipeline.state import Run, Snapshot, TaskEvent, TaskState, TaskStatus
from control.pipeline.tenure import Tenure, lease_id, tenure_of
from control.specs.deployment import Deployment

MAX_ATTEMPTS = 5
"""How often a step whose process vanished is started in all. A step that fails by itself is not repeated, and one
that had to give its devices back is started as often as that happens."""
LENGTH_OF_NEW = "256"
"""Tokens of a sequence where neither the task nor a deployment that is there says how many."""
START_SECONDS = 60.0
"""How long an attempt may be asked for in vain, where nobody says what keeps it from beginning."""


@dataclass(frozen=True)
class Progress:
    """What happened (None: nothing that changes the state), why, and what it gave: outputs, or a lease by its id."""

    event: TaskEvent | None
    reason: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    lease: str = ""


def progress(task: Task, status: TaskStatus, tasks: Mapping[str, TaskStatus], run: Run, snapshot: Snapshot) -> Progress:
    match status.state:
        case TaskState.WAITING:
            return _waiting(task, tasks, run)
        case TaskState.PLACING:
            return _placing(task, run, snapshot)
        case TaskState.RUNNING:
            return _running(task, status, tasks, run, snapshot)
        case TaskState.EVICTING:
            return _evicting(task, status, tasks, run, snapshot)
        case TaskState.DEPLOYING:
            return _deploying(status, snapshot)
        case TaskState.SUCCEEDED | TaskState.FAILED | TaskState.SKIPPED | TaskState.CANCELLED:
            return Progress(None, status.reason)


def _waiting(task: Task, tasks: Mapping[str, TaskStatus], run: Run) -> Progress:
    upstream = {name: tasks.get(name, TaskStatus()) for name in task.dependencies}
    unsettled = [name for name, s in upstream.items() if not s.state.settled]
    if unsettled:
        return Progress(None, f"waits for {', '.join(unsettled)}")
    undone = [f"{name} {s.state.value.lower()}" for name, s in upstream.items() if s.state is not TaskState.SUCCEEDED]
    if undone:
        return Progress(TaskEvent.UPSTREAM_UNDONE, ", ".join(undone))
    try:
        verdict = should_run(task, {name: s.outputs for name, s in tasks.items()}, run.parameters, run.workflow)
        parameters = parameters_of(run, task, tasks)
        if task.needs_lease:
            workload_of(run, task, parameters)
    except Unresolved as error:
        return Progress(TaskEvent.UNRESOLVED, str(error))
    if not verdict.run:
        return Progress(TaskEvent.CONDITION_FALSE, verdict.why)
    if task.needs_lease:
        return Progress(TaskEvent.NEEDS_DEVICES, f"asks for {task.devices} device(s)")
    return Progress(TaskEvent.READY, verdict.why)


def _placing(task: Task, run: Run, snapshot: Snapshot) -> Progress:
    placement = snapshot.placements.get(run.step(task.name).workload)
    if placement is None:
        return Progress(None, "the scheduler has not answered yet")
    if not placement.granted:
        return Progress(None, placement.reason)
    has = ", ".join(placement.grant.devices) or "its share of the host"
    return Progress(TaskEvent.LEASED, f"has {has}", lease=lease_id(placement))


def _running(task: Task, status: TaskStatus, tasks: Mapping[str, TaskStatus], run: Run, snapshot: Snapshot) -> Progress:
    step = _step(task, status, run, snapshot)
    placement = snapshot.placements.get(run.step(task.name).workload)
    tenure = tenure_of(task, status, placement)
    if (outcome := _outcome(step, tenure, task, tasks, run, snapshot)) is not None:
        return outcome
    if tenure is Tenure.ENDED:
        return Progress(TaskEvent.EVICTED, "its lease has ended; it goes on where it gets devices")
    if tenure is Tenure.RECALLED and placement is not None:
        return Progress(TaskEvent.EVICTED, f"evicted: {placement.evicted}")
    match step.state:
        case StepState.LOST:
            return _lost(status, f"the process of attempt {status.attempt} is gone", step.error)
        case StepState.ABSENT if step.error:
            return _lost(status, f"attempt {status.attempt} could not begin", step.error)
        case StepState.ABSENT if snapshot.now - status.wanted_at > START_SECONDS:
            return _lost(status, f"attempt {status.attempt} did not begin within {START_SECONDS:.0f} s", "")
        case _:
            return Progress(None, step.progress or status.reason)


def _evicting(
    task: Task, status: TaskStatus, tasks: Mapping[str, TaskStatus], run: Run, snapshot: Snapshot
) -> Progress:
    """Its devices go back when its actor is gone; what it finished before that counts."""
    step = _step(task, status, run, snapshot)
    tenure = tenure_of(task, status, snapshot.placements.get(run.step(task.name).workload))
    if (outcome := _outcome(step, tenure, task, tasks, run, snapshot)) is not None:
        return outcome
    if step.state is StepState.RUNNING or str(run.step(task.name, status.attempt)) in snapshot.actors:
        return Progress(None, status.reason)
    return Progress(TaskEvent.STOPPED, status.reason)


def _step(task: Task, status: TaskStatus, run: Run, snapshot: Snapshot) -> StepView:
    return snapshot.steps.get(str(run.step(task.name, status.attempt)), StepView(StepState.ABSENT))


def _outcome(
    step: StepView, tenure: Tenure, task: Task, tasks: Mapping[str, TaskStatus], run: Run, snapshot: Snapshot
) -> Progress | None:
    """What the step's receipt says; None while there is none that counts.

    A step that fails when its devices are gone has not failed by itself.
    """
    match step.state:
        case StepState.FAILED if tenure is not Tenure.ENDED:
            return Progress(TaskEvent.BROKE, step.error)
        case StepState.SUCCEEDED if task.type.deploys:
            return _deploy(task, tasks, run, snapshot, step.outputs)
        case StepState.SUCCEEDED:
            said = ", ".join(f"{key}={value}" for key, value in step.outputs.items())
            return Progress(TaskEvent.DONE, said or "done", step.outputs)
        case _:
            return None


def _lost(status: TaskStatus, why: str, error: str) -> Progress:
    because = f": {error}" if error else ""
    if status.attempt - status.evictions < MAX_ATTEMPTS:
        return Progress(TaskEvent.LOST, f"{why}{because}; it goes on in a new one")
    return Progress(TaskEvent.SPENT, f"its process was lost {MAX_ATTEMPTS} times{because}")


def _deploy(
    task: Task, tasks: Mapping[str, TaskStatus], run: Run, snapshot: Snapshot, outputs: Mapping[str, str]
) -> Progress:
    """The registered version becomes the deployment of its model's name, in the same commit as the new state.

    Of a deployment that there is already only the version changes, and what the task was given of it. It waits while
    a roll-out of it goes on: two at once would leave nobody knowing what is compared with what.
    """
    model, version = outputs["model"], int(outputs["version"])
    view = snapshot.deployments.get(model)
    if view is not None and view.rolling and view.wanted != version:
        return Progress(None, f"version {version} of {model} waits: {view.rolling}")
    try:
        document = _document(model, version, parameters_of(run, task, tasks), view.document if view else None)
        spec = Deployment.model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        return Progress(TaskEvent.BROKE, f"its deployment cannot be: {error.errors()[0]['msg']}")
    except ValueError as error:
        return Progress(TaskEvent.BROKE, f"its deployment cannot be: {error}")
    reason = f"run {run.name} registered version {version}"
    record = PutSpec(kind="Deployment", name=model, event="Requested", reason=reason, spec=spec)
    return Progress(
        TaskEvent.DONE_DEPLOYS,
        f"version {version} of {model} is registered; its deployment comes up",
        {**outputs, "deployment": model},
        Plan((record,)),
    )


def _document(
    model: str, version: int, parameters: Mapping[str, str], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The deployment that the parameters ask for, as a change of the one `before`. Raises ValueError where that is one
    of another model."""
    new = {"apiVersion": "biplane/v1", "kind": "Deployment", "metadata": {"name": model}, "spec": {"model": model}}
    document: Mapping[str, Any] = before or new
    spec = {**document["spec"], "version": version}
    if spec["model"] != model:
        raise ValueError(f"deployment {model} serves another model, {spec['model']}")
    if replicas := parameters["replicas"]:
        spec["replicas"] = int(replicas)
    length = parameters["max-model-len"] or ("" if before else LENGTH_OF_NEW)
    if length:
        spec["engine"] = {**spec.get("engine", {}), "max_model_len": int(length)}
    return {**document, "spec": spec}


def _deploying(status: TaskStatus, snapshot: Snapshot) -> Progress:
    name, version = status.outputs["deployment"], int(status.outputs["version"])
    view = snapshot.deployments.get(name)
    if view is None:
        return Progress(TaskEvent.DEPLOYMENT_FAILED, f"deployment {name} was deleted")
    if view.wanted not in (None, version):
        reason = f"deployment {name} was changed to version {view.wanted} meanwhile"
        return Progress(TaskEvent.DEPLOYMENT_FAILED, reason)
    if version in view.versions:
        return Progress(TaskEvent.SERVES, f"version {version} of {status.outputs['model']} serves as {name}")
    if view.phase in ("Failed", "RolledBack"):
        return Progress(TaskEvent.DEPLOYMENT_FAILED, view.reason)
    return Progress(None, view.reason)

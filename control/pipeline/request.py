"""The request that a step is started with, the same at every restart. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from control.kernel.placement import Placement
from control.pipeline.dag import Task, resolve
from control.pipeline.state import Run, Surroundings, TaskStatus
from control.specs.step import DeviceGrant, StepRequest


def parameters_of(run: Run, task: Task, tasks: Mapping[str, TaskStatus]) -> dict[str, str]:
    """Every declared parameter of the task as text. Raises Unresolved when an output it names is not there."""
    outputs = {name: status.outputs for name, status in tasks.items()}
    return resolve(task, outputs, run.parameters, run.workflow)


def step_directory(run: Run, task: str, surroundings: Surroundings) -> str:
    return f"{surroundings.runs_directory}/{run.key}/{task}"


def request_of(
    run: Run,
    task: Task,
    tasks: Mapping[str, TaskStatus],
    placement: Placement | None,
    surroundings: Surroundings,
) -> StepRequest:
    grant = None
    if placement is not None:
        grant = DeviceGrant(placement.resource, placement.node_id, placement.devices)
    return StepRequest(
        run=run.name,
        task=task.name,
        template=task.type.name,
        key=f"{run.key}/{task.name}",
        directory=step_directory(run, task.name, surroundings),
        mlflow_uri=surroundings.mlflow_url,
        experiment=run.workflow,
        parameters=parameters_of(run, task, tasks),
        env=dict(task.env),
        grant=grant,
    )

"""What a task asks of the scheduler, and the request that its step is started with. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from control.kernel.placement import Placement
from control.pipeline.dag import Task, Unresolved, resolve
from control.pipeline.state import Run, Surroundings, TaskStatus
from control.pipeline.templates import GPU_COUNT_MIN
from control.specs.step import StepRequest
from control.specs.workload import Workload

QUEUE_LABEL = "biplane.io/queue"
PRIORITY_LABEL = "biplane.io/priority-class"
"""Labels of a workflow, for all of its tasks that need devices."""


def parameters_of(run: Run, task: Task, tasks: Mapping[str, TaskStatus]) -> dict[str, str]:
    """Every declared parameter of the task as text. Raises Unresolved when an output it names is not there."""
    outputs = {name: status.outputs for name, status in tasks.items()}
    return resolve(task, outputs, run.parameters, run.workflow)


def step_directory(run: Run, task: str, surroundings: Surroundings) -> str:
    return f"{surroundings.runs_directory}/{run.key}/{task}"


def workload_of(run: Run, task: Task, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The Workload document that asks for the task's devices, whichever attempt uses them.

    `gpu-count-min` among its parameters makes it elastic; the workflow's labels name its queue and priority class.
    Raises Unresolved when that cannot be.
    """
    spec: dict[str, Any] = {
        "type": task.type.workload,
        "devices": task.devices,
        "memory": task.memory,
        "cpus": task.cpus,
        "queue": run.labels.get(QUEUE_LABEL),
        "priority_class": run.labels.get(PRIORITY_LABEL),
        "least": _least(parameters.get(GPU_COUNT_MIN, "0")),
        "span": None if task.type.gang else "node",  # one process computes on one node
    }
    document = {
        "apiVersion": "biplane/v1",
        "kind": "Workload",
        "metadata": {"name": run.workflow},  # not the task's: that may hold what a Workload's name may not
        "spec": {name: value for name, value in spec.items() if value is not None},
    }
    try:
        Workload.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unresolved(f"its workload cannot be: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return document


def _least(text: str) -> int | None:
    """How few devices an elastic task takes; None for one that takes all it asks for or none."""
    if not re.fullmatch("[0-9]{1,6}", text):
        raise Unresolved(f"{GPU_COUNT_MIN} is {text!r}; expected a whole number of devices")
    return int(text) or None


def request_of(
    run: Run,
    task: Task,
    tasks: Mapping[str, TaskStatus],
    placement: Placement | None,
    surroundings: Surroundings,
) -> StepRequest:
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
        grant=None if placement is None else placement.grant,
        workload=run.step(task.name).workload,
        claims=surroundings.claims_directory,
    )

"""A graph of tasks, and what one of them gets and whether it runs, once the tasks before it have ended.

Pure. A task whose dependency did not run does not run either: Argo would run it after a skipped one, but here
it takes the outputs of what ran before, and there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.pipeline.expressions import (
    Condition,
    TaskOutput,
    Value,
    WorkflowParameter,
    evaluate,
    parse_value,
    substitute,
)
from control.pipeline.expressions import Unresolved as Unresolved  # what resolve and should_run raise
from control.pipeline.templates import StepType
from control.specs.problem import Loc


@dataclass(frozen=True)
class Task:
    """One task, ready but for what only the run knows.

    `parameters`: text that may hold `{{...}}`, defaults filled in. `upstream`: parameter -> (task, output) it
    is taken from. `devices` counts whole devices, `memory` is host bytes, `cpus` is cores; 0 means nothing was
    asked for.
    `path` is the task's place in the document.
    """

    name: str
    type: StepType
    template: str
    dependencies: tuple[str, ...]
    parameters: Mapping[str, str]
    upstream: Mapping[str, tuple[str, str]]
    when: Condition | None
    devices: int
    memory: int
    cpus: float
    env: Mapping[str, str]
    path: Loc

    @property
    def needs_lease(self) -> bool:
        """True when the scheduler must be asked before the task starts."""
        return self.devices > 0 or self.memory > 0 or self.cpus > 0


@dataclass(frozen=True)
class Graph:
    """`tasks` in an order that respects dependencies, ties in the file's order."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Verdict:
    run: bool
    why: str


def resolve(
    task: Task,
    outputs: Mapping[str, Mapping[str, str]],
    workflow_parameters: Mapping[str, str],
    workflow_name: str,
) -> dict[str, str]:
    """Every parameter of a task as text. `outputs`: task -> output -> text, of the tasks that have finished.

    Raises Unresolved when a value that is referred to is missing.
    """
    values = known_values(outputs, workflow_parameters, workflow_name)
    taken = {name: Value((TaskOutput(*source),)) for name, source in task.upstream.items()}
    given = {name: parse_value(text) for name, text in task.parameters.items()}
    return {name: substitute(value, values) for name, value in (given | taken).items()}


def should_run(
    task: Task,
    outputs: Mapping[str, Mapping[str, str]],
    workflow_parameters: Mapping[str, str],
    workflow_name: str,
) -> Verdict:
    """Whether a task runs, once each dependency has finished (is in `outputs`) or was skipped (is not).

    Raises Unresolved when the condition has no answer.
    """
    for dependency in task.dependencies:
        if dependency not in outputs:
            return Verdict(False, f"dependency '{dependency}' did not run")
    if task.when is None:
        return Verdict(True, "no condition")
    outcome = evaluate(task.when, known_values(outputs, workflow_parameters, workflow_name))
    return Verdict(outcome.holds, outcome.why)


def known_values(
    outputs: Mapping[str, Mapping[str, str]], workflow_parameters: Mapping[str, str], workflow_name: str
) -> dict[str, str]:
    """Everything that a reference may name so far, by its key."""
    values = {"workflow.name": workflow_name}
    values |= {WorkflowParameter(name).key: text for name, text in workflow_parameters.items()}
    for task, named in outputs.items():
        values |= {TaskOutput(task, output).key: text for output, text in named.items()}
    return values

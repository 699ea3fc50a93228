"""Values in a person's file that are well formed and that a step refuses until a later milestone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from control.pipeline.compile import graph_of
from control.pipeline.templates import Table
from control.specs.base import Milestone
from control.specs.document import Document
from control.specs.problem import Loc
from control.specs.workflow import Workflow


@dataclass(frozen=True)
class WaitingValue:
    """A value in a good form that its step refuses until a later milestone."""

    path: Loc
    value: str
    waits_for: Milestone
    note: str


def waiting_values(document: Document, steps: Table) -> Iterator[WaitingValue]:
    """The arguments of a workflow's tasks that no step acts on yet."""
    if not isinstance(document.spec, Workflow):
        return
    for task in graph_of(document.spec, steps).tasks:
        given = {argument["name"]: place for place, argument in enumerate(_arguments(document, task.path))}
        for parameter in task.type.parameters:
            text = task.parameters.get(parameter.name, "")
            if parameter.name in given and parameter.waits_for and parameter.waits(text):
                path = (*task.path, "arguments", "parameters", given[parameter.name], "value")
                yield WaitingValue(path, text, parameter.waits_for, "until then the step refuses it")


def _arguments(document: Document, task: Loc) -> list[dict[str, Any]]:
    here: Any = document.raw
    for key in task:
        here = here[key]
    found: list[dict[str, Any]] = here.get("arguments", {}).get("parameters", [])
    return found

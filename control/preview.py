"""What applying a document would do, and which of its fields act now. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from control.gateway.preview import preview as gateway_preview
from control.pipeline.compile import graph_of
from control.pipeline.preview import preview as pipeline_preview
from control.pipeline.templates import Table
from control.scheduler.preview import preview as scheduler_preview
from control.specs.audit import FieldUse, audit
from control.specs.base import Milestone
from control.specs.document import Document
from control.specs.gateway import GatewayFile
from control.specs.line import Line
from control.specs.problem import Loc
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow


@dataclass(frozen=True)
class Preview:
    """One document: what it would do, and every field of it, acted on or waiting."""

    kind: str
    name: str
    lines: tuple[Line, ...]
    fields: tuple[FieldUse, ...]


def preview(document: Document, steps: Table) -> Preview:
    """Only for a document that was checked."""
    match document.spec:
        case Workflow() | StepTemplate() as spec:
            lines = pipeline_preview(spec, steps)
        case GatewayFile() as spec:
            lines = gateway_preview(spec)
        case spec:
            lines = scheduler_preview(spec)  # type: ignore[arg-type]  # the kinds of load.KINDS are exhausted
    later = {document.path_of(value.path): value for value in waiting_values(document, steps)}
    fields = tuple(
        replace(use, acted=False, waits_for=later[use.path].waits_for, note=later[use.path].note)
        if use.path in later
        else use
        for use in audit(document)
    )
    return Preview(document.kind, document.name, tuple(lines), fields)


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

"""What applying a document would do, and which of its fields act now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from control.gateway.preview import preview as gateway_preview
from control.pipeline.preview import preview as pipeline_preview
from control.pipeline.templates import Table
from control.scheduler.preview import preview as scheduler_preview
from control.specs.audit import FieldUse, audit
from control.specs.collection import Collection
from control.specs.document import Document
from control.specs.gateway import GatewayFile
from control.specs.line import Line
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow
from control.vectors.preview import preview as collection_preview
from control.waiting import waiting_values


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
        case Collection() as spec:
            lines = collection_preview(spec)
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

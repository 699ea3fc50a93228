"""Which fields of a person's file are acted on now, and which wait for a later milestone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from control.specs.base import Waits
from control.specs.document import Document
from control.specs.problem import Loc
from control.specs.shape import marks_at


@dataclass(frozen=True)
class FieldUse:
    """One leaf field: a scalar, or an empty list or mapping.

    `waits_for` is a milestone, None when the field is acted on now.
    """

    path: str
    line: int
    value: Any
    acted: bool
    waits_for: str | None
    note: str


def audit(document: Document) -> list[FieldUse]:
    """Every leaf of the file once, in the file's order; YAML embedded in text is walked too."""
    uses = []
    for loc, value in _leaves(document.raw, ()):
        waits = [mark for mark in marks_at(type(document.spec), loc) if isinstance(mark, Waits)]
        last = waits[-1] if waits else None
        milestone, note = (last.milestone, last.note) if last else (None, "")
        path, line = document.path_of(loc), document.line_of(loc)
        uses.append(FieldUse(path, line, value, last is None, milestone, note))
    return uses


def _leaves(value: Any, loc: Loc) -> Iterator[tuple[Loc, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*loc, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*loc, index))
    else:
        yield loc, value

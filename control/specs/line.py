"""One line of a preview: what applying a document would do, as plain text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`part` is what kind of thing (step, route ...), `name` which one, `facts` what it will be."""

    part: str
    name: str
    facts: tuple[str, ...]

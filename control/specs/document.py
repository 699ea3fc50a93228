"""One document of a person's file: the validated spec, the data it came from, and where each field stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.specs.base import Manifest
from control.specs.gateway import GatewayFile
from control.specs.problem import Fault, Loc, Problem

_BARE = re.compile(r"[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Document:
    """`kind` is "Gateway" for the root key `gateway:`.

    `raw` is the file's plain data, with embedded YAML opened; `lines` the line, from 1, of every place in it.
    """

    kind: str
    name: str
    spec: Manifest | GatewayFile
    raw: dict[str, Any]
    file: str
    lines: Mapping[Loc, int]

    def line_of(self, loc: Loc) -> int:
        """The line of `loc`, or of the nearest place above it that is in the file."""
        return line_of(self.lines, loc)

    def path_of(self, loc: Loc) -> str:
        return path_of(self.raw, loc)

    def problems(self, faults: Sequence[Fault]) -> list[Problem]:
        """Ties faults to the lines of this document, in their order."""
        problems = []
        for fault in faults:
            found = fault.found
            if fault.also is not None:
                found += f" ({self.path_of(fault.also)} on line {self.line_of(fault.also)})"
            line, path = self.line_of(fault.path), self.path_of(fault.path)
            problems.append(Problem(self.file, line, path, found, fault.expected, fault.nearest))
        return problems


def line_of(lines: Mapping[Loc, int], loc: Loc) -> int:
    while loc not in lines:
        loc = loc[:-1]
    return lines[loc]


def path_of(raw: Any, loc: Loc) -> str:
    """The place as a person reads it: `spec.templates[train].container.resources.limits["nvidia.com/gpu"]`.

    A list item goes by its `name` where no other item has it, else by its index; a key that holds a dot, a
    slash or such goes in brackets and quotes.
    """
    path = ""
    here = raw
    for key in loc:
        if isinstance(key, int):
            path += f"[{_item_name(here, key)}]"
        elif _BARE.fullmatch(key) or key.isdigit():
            path += f".{key}" if path else key
        else:
            path += f'["{key}"]'
        here = _child(here, key)
    return path


def _child(here: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return here[key] if isinstance(here, list) and key < len(here) else None
    return here.get(key) if isinstance(here, dict) else None


def _item_name(items: Any, index: int) -> str | int:
    names = [item.get("name") if isinstance(item, dict) else None for item in items or []]
    name = names[index] if index < len(names) else None
    if isinstance(name, str) and _BARE.fullmatch(name) and names.count(name) == 1:
        return name
    return index

"""What is wrong with a person's file: where, what was found, what was expected, the nearest valid choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic_core import PydanticCustomError

Loc = tuple[str | int, ...]
"""A place inside a document: mapping keys and list indexes from the root."""

_ALIKE = 0.6


@dataclass(frozen=True)
class Problem:
    """One thing wrong. `line` counts from 1; `field` is the path for reading, empty for the whole file."""

    file: str
    line: int
    field: str
    found: str
    expected: str = ""
    nearest: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " + (f"{self.field}: " if self.field else "")
        if self.nearest is not None:
            return f"{place}{self.found}; did you mean '{self.nearest}'?"
        return place + self.found + (f"; expected {self.expected}" if self.expected else "")


@dataclass(frozen=True)
class Fault:
    """A problem that a pure check found in a valid spec, not yet tied to a file. `also`: a second place."""

    path: Loc
    found: str
    expected: str = ""
    nearest: str | None = None
    also: Loc | None = None


class SpecError(Exception):
    """Everything wrong with one file. `problems` is never empty and is in the order of the lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def refuse(
    found: str, expected: str, *, nearest: str | None = None, at: Loc = (), also: Loc | None = None
) -> PydanticCustomError:
    """The error a validator raises. `at` and `also` lead from the validated field to the guilty places."""
    return PydanticCustomError(
        "refused",
        "{found}; expected {expected}",
        {"found": found, "expected": expected, "nearest": nearest, "at": at, "also": also},
    )


def show(value: object) -> str:
    """A value of the file, short enough for a message."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(_short(value))
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def one_of(names: Iterable[str], otherwise: str = "nothing") -> str:
    """What is expected where only these names may stand; `otherwise` when there are none."""
    listed = ", ".join(names)
    return f"one of {listed}" if listed else otherwise


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like `name`, or None when nothing is alike."""
    best = max(((_likeness(name, choice), choice) for choice in sorted(choices)), default=(0.0, ""))
    return best[1] if best[0] >= _ALIKE else None


def _likeness(name: str, choice: str) -> float:
    """0 to 1. The part after a slash counts too: `gpus` is meant to be `nvidia.com/gpu`, not `cpu`."""
    wanted = _plain(name)
    forms = {_plain(choice), _plain(choice.rpartition("/")[2])}
    return max(SequenceMatcher(None, wanted, form).ratio() for form in forms)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ ")

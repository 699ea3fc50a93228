"""Files with one record a line, checked against a pydantic model; what is wrong is said with the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from control.specs.base import Spec
from control.specs.problem import Problem, SpecError, nearest, one_of, show
from control.specs.shape import field_names

Row = TypeVar("Row", bound=Spec)
Line = tuple[int, Mapping[str, Any]]


def csv_lines(path: Path) -> Iterator[Line]:
    """The filled cells of each line by the name of their column. Raises OSError."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="more cells than columns", restval="")
        for row in reader:
            yield reader.line_num, {column: cell for column, cell in row.items() if cell}


def json_lines(path: Path) -> Iterator[Line]:
    """The object on each line that is not empty. Raises SpecError, OSError."""
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                found = json.loads(text)
            except json.JSONDecodeError as error:
                raise SpecError([Problem(str(path), line, "", f"no JSON: {error.msg}", "one object")]) from None
            if not isinstance(found, dict):
                raise SpecError([Problem(str(path), line, "", f"found {show(found)}", "one object")])
            yield line, found


def checked(path: Path, lines: Iterable[Line], model: type[Row], *, from_text: bool) -> list[Row]:
    """The lines as `model`; with `from_text` numbers and truth values are read out of text.

    Raises SpecError with everything that is wrong.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, cells in lines:
        try:
            rows.append(model.model_validate_strings(cells) if from_text else model.model_validate(cells))
        except ValidationError as error:
            problems += [_problem(detail, model, path, line) for detail in error.errors(include_url=False)]
    if problems:
        raise SpecError(problems)
    return rows


def _problem(detail: ErrorDetails, model: type[Spec], path: Path, line: int) -> Problem:
    context = detail.get("ctx", {})
    where = ".".join(str(key) for key in (*detail["loc"], *context.get("at", ())))
    found, expected, near = f"found {show(detail['input'])}", detail["msg"].removeprefix("Input should be "), None
    match detail["type"]:
        case "refused":
            found, expected, near = context["found"], context["expected"], context["nearest"]
        case "extra_forbidden":
            names = field_names(model)
            found, expected, near = "unknown field", one_of(names), nearest(where, names)
        case "missing":
            found, expected = "required field is missing", "a value"
        case "int_parsing" | "int_type":
            expected = "a whole number"
        case "float_parsing" | "float_type":
            expected = "a number"
        case _:
            pass
    return Problem(str(path), line, where, found, expected, near)

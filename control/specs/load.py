"""A person's file to validated documents, or to everything that is wrong with it, each with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from control.specs.base import Manifest, Spec, Written
from control.specs.cluster import Cluster
from control.specs.collection import Collection
from control.specs.deployment import Deployment
from control.specs.document import Document, line_of, path_of
from control.specs.gateway import GatewayFile
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.problem import Loc, Problem, SpecError, nearest, one_of, show
from control.specs.queue import Queue
from control.specs.shape import field_names, model_at, own_marks
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow
from control.specs.workload import Workload
from control.specs.yaml_tree import MAX_BYTES, Tree, read_trees

KINDS: dict[str, type[Manifest]] = {
    "Workflow": Workflow,
    "ConfigMap": ConfigMap,
    "ClusterPolicy": ClusterPolicy,
    "Workload": Workload,
    "Deployment": Deployment,
    "Queue": Queue,
    "Cluster": Cluster,
    "StepTemplate": StepTemplate,
    "Collection": Collection,
}
ROOT_KEYS: dict[str, tuple[str, type[GatewayFile]]] = {"gateway": ("Gateway", GatewayFile)}
_EMBEDDED = {"ConfigMap": "data"}
"""Kinds with a field each of whose values is text holding YAML."""
_MISSING = "required field is missing"
_KNOWN = f"kind: {', '.join(KINDS)}, or the root key gateway"


def load_file(path: str | Path) -> list[Document]:
    """The documents of a file. Raises SpecError with every problem found, OSError when it cannot be read."""
    file = Path(path)
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(content) <= MAX_BYTES:
            line = content[: error.start].count(b"\n") + 1
            found = f"not UTF-8: byte 0x{content[error.start]:02x}"
            raise SpecError([Problem(str(file), line, "", found, "UTF-8 text")]) from None
        text = content.decode("utf-8-sig", "replace")  # the cut may be inside a character; refused as too large
    return load_text(text, str(file))


def load_text(text: str, filename: str) -> list[Document]:
    """The documents of a text that came from `filename`. Raises SpecError with every problem found."""
    trees = read_trees(text, filename)
    if not trees:
        raise SpecError([Problem(filename, 1, "", "the file is empty", _KNOWN)])
    documents: list[Document] = []
    problems: list[Problem] = []
    for tree in trees:
        try:
            document = _load(tree, filename)
        except SpecError as error:
            problems += error.problems
            continue
        for earlier in documents:
            if (earlier.kind, earlier.name) == (document.kind, document.name):
                line, first = tree.lines[()], earlier.lines[()]
                found = f"{document.kind} '{document.name}' is given twice, first on line {first}"
                problems.append(Problem(filename, line, "", found, "every name once for each kind"))
        documents.append(document)
    if problems:
        raise SpecError(problems)
    return documents


def _load(tree: Tree, file: str) -> Document:
    kind, model = _recognise(tree, file)
    embedded = tree.data.get(_EMBEDDED.get(kind))
    for key in embedded if isinstance(embedded, dict) else ():
        _open_embedded(tree, (_EMBEDDED[kind], key), file)
    try:
        spec = model.model_validate(_as_written(tree, model))
    except ValidationError as error:
        problems = [_problem(detail, model, tree, file) for detail in error.errors(include_url=False)]
        raise SpecError(_without_echoes(problems)) from None
    return Document(kind, spec.name, spec, tree.data, file, tree.lines)


def _recognise(tree: Tree, file: str) -> tuple[str, type[Manifest] | type[GatewayFile]]:
    """The kind and model of a document, by `kind` and `apiVersion` or by its root key."""
    data = tree.data

    def wrong(loc: Loc, found: str, expected: str, near: str | None = None) -> SpecError:
        return SpecError([Problem(file, line_of(tree.lines, loc), path_of(data, loc), found, expected, near)])

    if not isinstance(data, dict):
        raise wrong((), f"found {show(data)}", f"a mapping with {_KNOWN}")
    if "kind" not in data:
        for key, recognised in ROOT_KEYS.items():
            if key in data:
                return recognised
        for key in data:
            if near := nearest(key, ["kind", *ROOT_KEYS]):
                raise wrong((key,), f"unknown field '{key}'", _KNOWN, near)
        raise wrong((), "neither a kind nor a known root key", _KNOWN)
    kind = data["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(kind, KINDS) if isinstance(kind, str) else None
        raise wrong(("kind",), f"unknown kind {show(kind)}", one_of(KINDS), near)
    if "apiVersion" not in data:
        expected = KINDS[kind].model_fields["api_version"].default
        raise wrong(("apiVersion",), _MISSING, show(expected))
    return kind, KINDS[kind]


def _open_embedded(tree: Tree, loc: tuple[str, str], file: str) -> None:
    """Puts the YAML that stands as text at `loc` into the tree, with lines of the file."""
    parent = tree.data[loc[0]]
    text = parent[loc[1]]
    if not isinstance(text, str):
        return
    # Only in a `|` scalar does each line of the text stand on a line of its own in the file.
    first, step = (tree.blocks[loc], 1) if loc in tree.blocks else (tree.lines[loc], 0)
    path = path_of(tree.data, loc)
    inner = read_trees(text, file, line_of=lambda line: first + step * line, field=path)
    if len(inner) != 1:
        found = f"found {len(inner)} YAML documents in the text"
        raise SpecError([Problem(file, tree.lines[loc], path, found, "one")])
    parent[loc[1]] = inner[0].data
    tree.written |= {(*loc, *below): text for below, text in inner[0].written.items()}
    tree.lines |= {(*loc, *below): line for below, line in inner[0].lines.items() if below}


def _as_written(tree: Tree, model: type[Spec]) -> Any:
    """A copy of the data in which numbers and booleans where text belongs are the text that was written."""

    def copy(value: Any, loc: Loc) -> Any:
        if isinstance(value, dict):
            return {key: copy(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [copy(item, (*loc, index)) for index, item in enumerate(value)]
        if loc in tree.written and any(isinstance(mark, Written) for mark in own_marks(model, loc)):
            return tree.written[loc]
        return value

    return copy(tree.data, ())


def _without_echoes(problems: list[Problem]) -> list[Problem]:
    """Leaves out that a field is missing where a misspelling of it was found beside."""
    meant = {
        f"{parent}{dot}{problem.nearest}"
        for problem in problems
        if problem.found.startswith("unknown field")
        for parent, dot, _ in (problem.field.rpartition("."),)
    }
    return [problem for problem in problems if problem.found != _MISSING or problem.field not in meant]


def _problem(detail: ErrorDetails, model: type[Spec], tree: Tree, file: str) -> Problem:
    """A pydantic error in this house's words."""
    context = detail.get("ctx", {})
    tagged = tuple(key for key in detail["loc"] if key != "[key]")
    field = tuple(key for key in tagged if not str(key).startswith("["))
    loc = field + tuple(context.get("at", ()))
    found, expected, near = f"found {show(detail['input'])}", "", None
    match detail["type"]:
        case "refused":
            found, expected, near = context["found"], context["expected"], context["nearest"]
            if context["also"] is not None:
                also = (*field, *context["also"])
                found += f" ({path_of(tree.data, also)} on line {line_of(tree.lines, also)})"
        case "extra_forbidden":
            parent = model_at(model, tagged[:-1])
            names = field_names(parent) if parent else []
            found, expected = f"unknown field '{loc[-1]}'", one_of(names, "no fields")
            near = nearest(str(loc[-1]), names)
        case "missing":
            found = _MISSING
        case "model_type" | "dict_type":
            expected = "a mapping"
        case "tuple_type":
            expected = "a list"
        case "string_type":
            expected = "text"
        case "int_type" | "int_from_float":
            expected = "a whole number"
        case "float_type":
            expected = "a number"
        case "bool_type":
            expected = "true or false"
        case "literal_error":
            expected = context["expected"]
            if isinstance(detail["input"], str):
                near = nearest(detail["input"], re.findall(r"'([^']*)'", expected))
        case _:
            expected = detail["msg"].removeprefix("Input should be ")
    return Problem(file, line_of(tree.lines, loc), path_of(tree.data, loc), found, expected, near)

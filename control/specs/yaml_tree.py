"""YAML text to plain data with the line of every place, refusing what is ambiguous or made to exhaust memory.

Scalars follow YAML 1.2's core schema (`true`/`false`, decimal numbers, `null`); `yes`, dates and the rest are
text. Keys are always text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from control.specs.problem import Loc, Problem, SpecError, show

MAX_BYTES = 5 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 64

_INT = re.compile(r"[-+]?[0-9]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SCALAR_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
}


@dataclass
class Tree:
    """One YAML document.

    `data`: dicts, lists, str, int, float, bool, None. `lines`: the line, from 1, of every place. `written`:
    the source text of every scalar that is not text. `blocks`: the first content line of every `|` scalar.
    """

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    written: dict[Loc, str] = field(default_factory=dict)
    blocks: dict[Loc, int] = field(default_factory=dict)


def read_trees(
    text: str, file: str, *, line_of: Callable[[int], int] = lambda line: line + 1, field: str = ""
) -> list[Tree]:
    """The documents in `text`; those with nothing in them are left out.

    `line_of` turns a line of `text` (from 0) into a line of the file, and `field` names the place in the file
    that `text` is from: both for YAML inside YAML. Raises SpecError for broken YAML, duplicate keys, foreign
    tags, keys that are not scalars, and too much of anything.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError([Problem(file, 1, field, "too large", f"at most {MAX_BYTES} bytes")])
    trees = []
    problems: list[Problem] = []
    for node in _compose(text, file, line_of, field):
        reader = _Reader(file, line_of, field)
        reader.tree.lines[()] = line_of(node.start_mark.line)
        reader.tree.data = reader.read(node, ())
        problems += reader.problems
        if reader.tree.data is not None:
            trees.append(reader.tree)
    if problems:
        raise SpecError(problems)
    return trees


def _compose(text: str, file: str, line_of: Callable[[int], int], field: str) -> list[Any]:
    try:
        return list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column + 1) if mark else (0, 1)
        why = error.problem or error.context or "it cannot be read"
        found = f"broken YAML{_at(column, field)}: {why}"
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), error.position - before.rfind("\n")
        why = f"the character U+{ord(text[error.position]):04X} may not stand here"
        found = f"broken YAML{_at(column, field)}: {why}"
    except RecursionError:
        line, found = 0, f"nested deeper than {MAX_DEPTH} levels"
    except (ValueError, OverflowError) as error:  # PyYAML lets an escape such as \UFFFFFFFF reach chr()
        line, found = 0, f"broken YAML: {error}"
    raise SpecError([Problem(file, line_of(line), field, found)])


def _at(column: int, field: str) -> str:
    """Embedded text is indented in the file, and its columns are not the file's."""
    return "" if field else f" at column {column}"


class _Reader:
    """Builds one Tree from composed nodes and collects what is wrong."""

    def __init__(self, file: str, line_of: Callable[[int], int], field: str) -> None:
        self.tree = Tree()
        self.problems: list[Problem] = []
        self._file, self._line_of, self._field = file, line_of, field
        self._nodes = 0

    def read(self, node: Any, loc: Loc) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SpecError([self._problem(node, f"more than {MAX_NODES} values, aliases counted each time")])
        if len(loc) > MAX_DEPTH:  # also ends an anchor that contains itself
            raise SpecError([self._problem(node, f"nested deeper than {MAX_DEPTH} levels")])
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            for index, item in enumerate(node.value):
                self.tree.lines[(*loc, index)] = self._line_of(item.start_mark.line)
            return [self.read(item, (*loc, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALAR_TAGS:
            return self._scalar(node, loc)
        self.problems.append(self._problem(node, f"found the tag {show(node.tag)}", "plain YAML without tags"))
        return ""

    def _mapping(self, node: Any, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        merges = []
        for key_node, value_node in node.value:
            line = self._line_of(key_node.start_mark.line)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(self._problem(key_node, "found a list or mapping as a key", "text"))
            elif key_node.tag == "tag:yaml.org,2002:merge":
                merges.append(value_node)
            elif key_node.value in data:
                key = key_node.value
                self.problems.append(self._problem(key_node, f"key '{key}' is given twice, first on line {first[key]}"))
            else:
                key = key_node.value
                first[key] = self.tree.lines[(*loc, key)] = line
                data[key] = self.read(value_node, (*loc, key))
        for merged in merges:
            self._merge(merged, data, loc)
        return data

    def _merge(self, node: Any, data: dict[str, Any], loc: Loc) -> None:
        """`<<: *base` adds the keys of `base` that are not given; with a list, earlier ones win."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self.problems.append(self._problem(source, "'<<' merges something else", "a mapping"))
                continue
            for key_node, value_node in source.value:
                if isinstance(key_node, yaml.ScalarNode) and key_node.value not in data:
                    key = key_node.value
                    self.tree.lines[(*loc, key)] = self._line_of(key_node.start_mark.line)
                    data[key] = self.read(value_node, (*loc, key))

    def _scalar(self, node: Any, loc: Loc) -> Any:
        text: str = node.value
        if node.style == "|":
            self.tree.blocks[loc] = self._line_of(node.start_mark.line) + 1
        value = _plain(text) if node.style is None else text
        if not isinstance(value, str) and value is not None:
            self.tree.written[loc] = text
        return value

    def _problem(self, node: Any, found: str, expected: str = "") -> Problem:
        return Problem(self._file, self._line_of(node.start_mark.line), self._field, found, expected)


def _plain(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text

"""Which arguments the installed vLLM has, read from its source: importing it takes half a minute and half a GB."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_SOURCE = ("engine", "arg_utils.py")
_CLASSES = ("EngineArgs", "AsyncEngineArgs")


@cache
def installed_arguments() -> Mapping[str, str]:
    """Argument → its type as it is written there; nothing where vLLM is not installed or has moved its arguments."""
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        return {}
    source = Path(found.submodule_search_locations[0], *_SOURCE)
    if not source.is_file():
        return {}
    tree = ast.parse(source.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in _CLASSES]
    fields = [field for one in classes for field in one.body if isinstance(field, ast.AnnAssign)]
    return {
        field.target.id: ast.unparse(field.annotation)
        for field in fields
        if isinstance(field.target, ast.Name) and not field.target.id.startswith("_")
    }

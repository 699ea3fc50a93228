"""Objects named by import path: how the control plane names the data plane without importing it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def load(path: str) -> Callable[..., Any]:
    """The object at `module:name`."""
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found

"""JSON of others that is read, and later written again, at any depth of the stack. Pure."""

import json
from typing import Any

MOST_NESTED = 256
"""Of arrays and objects in one another. Python reads and writes some 1,000 less the depth of its own stack, so that
what could be read here may be too deep to be written there."""


def loaded(raw: bytes | str) -> Any:
    """As `json.loads`. Raises ValueError also for what is nested more deeply than `MOST_NESTED`."""
    try:
        found = json.loads(raw)
    except RecursionError:
        raise ValueError(f"nested more than {MOST_NESTED} deep") from None
    opened = raw.count(b"[") + raw.count(b"{") if isinstance(raw, bytes) else raw.count("[") + raw.count("{")
    if opened > MOST_NESTED and _is_deep(found):
        raise ValueError(f"nested more than {MOST_NESTED} deep")
    return found


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_NESTED):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True

"""JSON of others that is read, and later written again, at any depth of the stack. Pure."""

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

MOST_NESTED = 256
"""Of arrays and objects in one another. Python reads and writes some 1,000 less the depth of its own stack, so that
what could be read here may be too deep to be written there."""
MOST_DIGITS = 32
"""Of a number that a refusal repeats."""


def loaded(raw: bytes | str) -> Any:
    """As `json.loads`. Raises ValueError also for what is nested more deeply than `MOST_NESTED`."""
    return _shallow(raw, json.loads)


def loaded_strictly(raw: bytes) -> Any:
    """As `loaded`. Raises ValueError also for NaN, Infinity and what is as large: Python reads and writes them, and
    JSON has no such numbers.
    """
    return _shallow(raw.decode(json.detect_encoding(raw), "surrogatepass"), _strict)


def _shallow(raw: bytes | str, load: Callable[[Any], Any]) -> Any:
    try:
        found = load(raw)
    except RecursionError:
        raise ValueError(f"nested more than {MOST_NESTED} deep") from None
    opened = raw.count(b"[") + raw.count(b"{") if isinstance(raw, bytes) else raw.count("[") + raw.count("{")
    if opened > MOST_NESTED and _is_deep(found):
        raise ValueError(f"nested more than {MOST_NESTED} deep")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text[:MOST_DIGITS]} is too large for a number")
    return found


_strict = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode  # json.loads makes one every time


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

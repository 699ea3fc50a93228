"""A filter of many conditions, given what answers one of them. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actors.vectors.found import Mask
from control.specs.vector_filter import And, Condition, Filter, Not, Or

Bounds = tuple[int, int]
"""At least and at most so many rows."""


def mask_of(where: Filter, rows: int, answer: Callable[[Condition], Mask]) -> Mask:
    """Which rows match, (rows,)."""
    match where:
        case And(parts):
            mask = np.ones(rows, np.bool_)
            for part in parts:
                mask &= mask_of(part, rows, answer)
            return mask
        case Or(parts):
            mask = np.zeros(rows, np.bool_)
            for part in parts:
                mask |= mask_of(part, rows, answer)
            return mask
        case Not(part):
            return ~mask_of(part, rows, answer)
        case condition:
            return answer(condition)


def bounds_of(where: Filter, rows: int, answer: Callable[[Condition], Bounds]) -> Bounds:
    """Bonferroni: of parts that may overlap in any way."""
    match where:
        case And(parts):
            every = [bounds_of(part, rows, answer) for part in parts]
            return all_of(every, rows)
        case Or(parts):
            every = [bounds_of(part, rows, answer) for part in parts]
            return any_of(every, rows)
        case Not(part):
            low, high = bounds_of(part, rows, answer)
            return rows - high, rows - low
        case condition:
            return answer(condition)


def all_of(parts: list[Bounds], rows: int) -> Bounds:
    low = sum(part[0] for part in parts) - (len(parts) - 1) * rows
    return max(0, low) if parts else rows, min((part[1] for part in parts), default=rows)


def any_of(parts: list[Bounds], rows: int) -> Bounds:
    return max((part[0] for part in parts), default=0), min(rows, sum(part[1] for part in parts))

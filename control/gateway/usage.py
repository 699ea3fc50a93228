"""What was used, summed up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from control.accounts import Counts, Usage
from control.route_traffic import model_of


class By(StrEnum):
    """What is summed up by."""

    KEY = "key"
    ORGANIZATION = "organization"
    MODEL = "model"
    ROUTE = "route"
    BACKEND = "backend"
    DAY = "day"


def totals(used: Iterable[tuple[Usage, Counts]], by: By) -> list[tuple[str, Counts]]:
    """The dearest first, and then by tokens; days in their order."""
    sums: dict[str, list[int]] = {}
    for who, counts in used:
        name = model_of(who.backend) if by is By.MODEL else str(getattr(who, by.value))
        total = sums.setdefault(name, [0] * len(counts))
        for index, count in enumerate(counts):
            total[index] += count
    found = [(name, Counts(*total)) for name, total in sums.items()]
    if by is By.DAY:
        return sorted(found)
    return sorted(found, key=lambda one: (-one[1].cost, -one[1].prompt - one[1].completion, one[0]))

"""Ways to ask a question, and what asks for something else: the stuff that the cache's pairs are drawn from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOTS = {"n": "number", "d": "date", "u": "unit"}
"""What differs where a slot is filled otherwise; of any other slot it is a name."""


@dataclass(frozen=True)
class Family:
    """`asks` mean the same, each of `others` differs from the first of them by what is said before it."""

    domain: str
    asks: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    slots: Mapping[str, Sequence[str]]


def family(domain: str, asks: str, others: str, **slots: str) -> Family:
    """One a line; of `others` each with what differs before a colon, or a negation without one."""
    told = [line.partition(": ") for line in others.strip().split("\n")]
    return Family(
        domain,
        tuple(asks.strip().split("\n")),
        tuple((what, other) if other else ("negation", what) for what, _, other in told),
        {name: values.split("|") for name, values in slots.items()},
    )

"""Which sealed segments are made into one: a pure decision over their sizes.

New segments come without an index and are searched exactly. Whatever is rebuilt takes with it the segments that are not
much greater than itself, so that there are few of them, each at least `GROWTH` times as large as all the smaller ones,
and each row is put into an index about log(n) times. While one build runs new segments gather for the next: of a bulk
load almost all rows are indexed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GROWTH = 3
MOST_DEAD = 0.2
"""The share of dead rows from which a segment is compacted."""


@dataclass(frozen=True)
class Size:
    """`fresh`: without an index yet. `outdated`: its index is not what the collection asks for now."""

    name: str
    rows: int
    dead: int
    fresh: bool = False
    outdated: bool = False

    @property
    def living(self) -> int:
        return self.rows - self.dead


@dataclass(frozen=True)
class Rebuild:
    """The living rows of these segments become one segment with an index, or none where there is no such row."""

    names: tuple[str, ...]
    reason: str


def plan(segments: Sequence[Size], whole: bool = False) -> Rebuild | None:
    """The next rebuild, or None where all is well. `whole` asks for a single segment without dead rows."""
    ascending = sorted(segments, key=lambda one: (one.living, one.name))
    if whole and (len(ascending) > 1 or any(one.dead or one.fresh or one.outdated for one in ascending)):
        return Rebuild(_names(ascending), f"one segment was asked for, there are {len(ascending)}")
    if empty := [one for one in ascending if not one.living]:
        return Rebuild(_names(empty), "all of their rows are dead")
    fresh = [one for one in ascending if one.fresh]
    holed = [one for one in ascending if one.dead > MOST_DEAD * one.rows]
    if fresh:
        return _with_neighbours(fresh, ascending, f"{len(fresh)} segments have no index yet")
    if holed:
        return _with_neighbours(holed[:1], ascending, f"{holed[0].dead} of {holed[0].rows} rows are dead")
    outdated = [one for one in ascending if one.outdated]
    if outdated:
        return Rebuild(_names(outdated[:1]), "the collection asks for another index")
    return None


def _with_neighbours(chosen: Sequence[Size], ascending: Sequence[Size], reason: str) -> Rebuild:
    names, rows = set(_names(chosen)), sum(one.living for one in chosen)
    for one in ascending:
        if one.name not in names and one.living < GROWTH * rows:
            names.add(one.name)
            rows += one.living
    joined = len(names) - len(chosen)
    return Rebuild(
        tuple(one.name for one in ascending if one.name in names),
        f"{reason}; {joined} of like size join them" if joined else reason,
    )


def _names(segments: Sequence[Size]) -> tuple[str, ...]:
    return tuple(one.name for one in segments)

"""A filter over the metadata of rows, as a tree. Pure values; `filter_notation` reads it from what people write.

A condition on a row that lacks the field is false, so `Not` of it is true: `{"year": {"$ne": 2000}}` finds rows without
a year, as in MongoDB, whose notation this is.
"""

from __future__ import annotations

from dataclasses import dataclass

Value = str | int | float | bool
"""Of a datetime field: microseconds of UTC since 1970."""


@dataclass(frozen=True)
class And:
    """True where all are; without parts always."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    """True where one is; without parts never."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    part: Filter


@dataclass(frozen=True)
class In:
    """The field's value, or one of its many, is one of `values`. NaN equals nothing and is in no range."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """`low` to `high`, each None for no bound; a bound belongs to it where its `_open` is False."""

    field: str
    low: float | int | None = None
    high: float | int | None = None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True)
class Exists:
    """The row has the field; a list without values is one that it has."""

    field: str


@dataclass(frozen=True)
class Words:
    """A text field has all of these words, in any order; compared in lower case. What is no letter and no digit parts
    words, here as in the text.
    """

    field: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class GeoBox:
    """Degrees; `west` may be greater than `east`: then the box crosses the 180th meridian. Edges belong to it."""

    field: str
    south: float
    west: float
    north: float
    east: float


Condition = In | Range | Exists | Words | GeoBox
"""Of one field."""
Filter = And | Or | Not | Condition
EVERYTHING = And(())


def fields_of(where: Filter) -> frozenset[str]:
    """The fields that it asks about."""
    match where:
        case And(parts) | Or(parts):
            return frozenset[str]().union(*map(fields_of, parts))
        case Not(part):
            return fields_of(part)
        case condition:
            return frozenset({condition.field})

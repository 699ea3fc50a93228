"""What every spec stands on: the strict base model, metadata, names, and the markers on fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sized
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from control.specs.problem import refuse, show

Milestone = Literal["scheduler", "lifecycle", "operation"]


@dataclass(frozen=True)
class Waits:
    """Marks a field, and all below it, that is accepted and checked but acted on only from `milestone`."""

    milestone: Milestone
    note: str = ""


@dataclass(frozen=True)
class Written:
    """Marks text that a file may give as a number or a boolean: `0.10` stays "0.10"."""


T = TypeVar("T")
Text = Annotated[str, Written()]
# A list in a file is a list in Python; frozen models keep it as a tuple.
Items = Annotated[tuple[T, ...], Strict(False)]


class Spec(BaseModel):
    """Base of all specs: unknown fields refused, nothing converted silently, never changed once built.

    `model_dump(mode="json")` gives what `model_validate` takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True, allow_inf_nan=False)


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]{0,62}")


LABEL_RULE = "a name of at most 63 lower-case letters, digits and dashes, not starting or ending with a dash"


def is_label(name: str) -> bool:
    """Whether `name` may name an object: DNS-1123."""
    return _LABEL.fullmatch(name) is not None


def _label(name: str) -> str:
    if not is_label(name):
        raise refuse(f"found {show(name)}", LABEL_RULE)
    return name


def _is_identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise refuse(f"found {show(name)}", "a name of at most 63 letters, digits, dashes and underscores")
    return name


def _is_filled(text: str) -> str:
    if not text.strip():
        raise refuse(f"found {show(text)}", "some text")
    return text


def _has_some(listed: Sized) -> Sized:
    if not listed:
        raise refuse("nothing is listed", "at least one")
    return listed


# pydantic's own min_length also complains of an empty list when the items are what is wrong.
AtLeastOne = AfterValidator(_has_some)


def given_once(
    key: Callable[[Any], Hashable], field: str, found: Callable[[Any], str], expected: str
) -> AfterValidator:
    """For a list: no two items have the same `key`. `found` says of the second one that it has, at its `field`."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        first: dict[Hashable, int] = {}
        for index, item in enumerate(items):
            if (before := first.setdefault(key(item), index)) != index:
                raise refuse(found(item), expected, at=(index, field), also=(before, field))
        return items

    return AfterValidator(check)


def named_once(what: str) -> AfterValidator:
    """For a list of things with a `name`: no two have the same. `what` is the word for one of them."""
    return given_once(
        lambda item: item.name, "name", lambda item: f"{what} '{item.name}' is given twice", "every name once"
    )


Name = Annotated[str, AfterValidator(_label)]
Identifier = Annotated[str, AfterValidator(_is_identifier)]
Filled = Annotated[str, AfterValidator(_is_filled)]


class Metadata(Spec):
    name: Name
    namespace: Annotated[Name | None, Waits("operation", "the plane has one namespace")] = None
    labels: dict[str, Text] = Field(default={})


class Manifest(Spec):
    """A document with `apiVersion`, `kind` and `metadata`; subclasses fix the first two and add the rest."""

    metadata: Metadata

    @property
    def name(self) -> str:
        return self.metadata.name

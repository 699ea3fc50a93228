"""What is stored of an API key: who it belongs to, what it may be used for and until when. Never the key itself."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from control.specs.base import Items, Name, Spec
from control.specs.problem import refuse, show

Priority = Literal["high", "normal", "low"]
Standing = Literal["valid", "expired", "revoked"]
Time = Annotated[float, Field(ge=0)]
"""Seconds since the epoch."""
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _is_pattern(pattern: str) -> str:
    if not pattern.strip() or "*" in pattern[:-1]:
        raise refuse(f"found {show(pattern)}", "the name of a model, or how names begin and then *, such as gpt-4*")
    return pattern


def _is_digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise refuse(f"found {show(text)}", "a SHA-256 as 64 lower-case hex digits")
    return text


ModelPattern = Annotated[str, AfterValidator(_is_pattern)]
Digest = Annotated[str, AfterValidator(_is_digest)]


class KeyLimits(Spec):
    """What one key may use, beside what gateway documents allow. Cost in US dollars a UTC day."""

    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    cost_per_day: Dollars | None = None


class Grant(Spec):
    """What a key is good for. Without `routes` or `models` it may use all of them.

    Models go by the names that clients ask for; a pattern's last letter may be `*`. A model that is served here is
    reached by no route: a key with `routes` may use it only where `models` names it.
    """

    organization: Name = "default"
    routes: Items[Name] = ()
    models: Items[ModelPattern] = ()
    expires_at: Time | None = None
    priority: Priority = "normal"
    limits: KeyLimits = KeyLimits()


class ApiKey(Grant):
    """As stored. After a rotation the former secret is good until `previous_until`."""

    sha256: Digest
    revoked_at: Time | None = None
    previous_sha256: Digest | None = None
    previous_until: Time | None = None

    @model_validator(mode="after")
    def _has_a_whole_predecessor(self) -> ApiKey:
        if (self.previous_sha256 is None) != (self.previous_until is None):
            raise refuse("one of previous_sha256 and previous_until", "both or neither")
        return self

    def standing(self, now: float) -> Standing:
        """At `now`, in seconds since the epoch."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "valid"


def matches(pattern: str, models: Collection[str]) -> bool:
    """Whether the pattern of a model's name fits one of `models`."""
    if pattern.endswith("*"):
        return any(model.startswith(pattern[:-1]) for model in models)
    return pattern in models

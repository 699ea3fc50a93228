"""What a route's file says of its cache. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """An answer is kept for `ttl_s` seconds, of a tenant at most `max_entries`. Where it is `semantic`, a question with
    other words is answered, too, from a cosine of `threshold` on.
    """

    threshold: float
    ttl_s: float
    max_entries: int
    semantic: bool


def parse_policy(told: dict[str, Any] | None) -> CachePolicy | None:
    """Of a route in the table. Raises KeyError, TypeError or ValueError where it is none."""
    if told is None:
        return None
    return CachePolicy(float(told["threshold"]), float(told["ttl_s"]), int(told["max_entries"]), bool(told["semantic"]))

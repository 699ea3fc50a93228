"""What the cache had. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Found:
    """`body` is the completion as it was kept, `age_s` for how many seconds it has been, `left_s` for how many more it
    will be. `cost` is what it cost then, in billionths of a dollar. `similarity` is 1 where the request was the same.
    """

    body: bytes
    kind: Literal["exact", "semantic"]
    age_s: float
    left_s: float
    cost: int
    similarity: float = 1.0

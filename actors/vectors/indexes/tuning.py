"""Which parameter of a search reaches a target recall for k, from what was measured when the index was built. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

MEASURED = (10, 100)
"""The k of which recall is measured."""


@dataclass(frozen=True)
class Curve:
    """What recall each of the ascending `values` of a parameter gave: `recalls[i]` belongs to `MEASURED[i]`."""

    values: tuple[int, ...]
    recalls: tuple[tuple[float, ...], ...]

    def reaches(self, target: float) -> bool:
        """For each k."""
        return all(max(recalls) >= target for recalls in self.recalls)

    def least(self, target: float, k: int) -> int:
        """The least measured value that reaches the target, the greatest where none does.

        Between measured k the need grows as a power of k, and beyond them in proportion to it: in truth slower.
        """
        needs = [_need(self.values, recalls, target) for recalls in self.recalls]
        at = bisect_left(MEASURED, k)
        if at == 0:
            return needs[0]
        if at == len(MEASURED):
            return math.ceil(needs[-1] * k / MEASURED[-1])
        low, high = MEASURED[at - 1], MEASURED[at]
        share = math.log(k / low) / math.log(high / low)
        return math.ceil(math.exp((1 - share) * math.log(needs[at - 1]) + share * math.log(needs[at])))


@lru_cache(maxsize=4096)
def _need(values: tuple[int, ...], recalls: tuple[float, ...], target: float) -> int:
    """Asked for every search."""
    return next((value for value, recall in zip(values, recalls, strict=True) if recall >= target), values[-1])

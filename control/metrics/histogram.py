"""The histograms of `control.traffic` on the coarser bounds of Prometheus. Pure.

Every bound is the edge of a bucket, so counts are added up and never split. The edges are powers of 1.1; about every
seventh is a bound, so that one is nearly twice the one before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from control.traffic import RATIO, Histogram

STEP = 7
OBJECTIVE = 48
"""1.1^48 ms is 97.0 ms: with the 106.7 ms of 1.1^49 it holds the default objective, 100 ms, between close bounds."""


def bounds(first: int, last: int) -> tuple[int, ...]:
    """Every seventh power of 1.1 from the `first` to the `last`, and that of the objective where it lies between."""
    return tuple(sorted({*range(first, last + 1, STEP), *({OBJECTIVE} if first < OBJECTIVE < last else ())}))


@lru_cache(maxsize=512)
def seconds(power: int) -> str:
    """A bound as its label says it: 1.1^power ms in seconds, to six digits (buckets are a tenth wide)."""
    return f"{RATIO**power / 1000:.6g}"


def cumulative(histogram: Histogram, edges: Sequence[int]) -> list[tuple[str, int]]:
    """For each bound, and "+Inf" after them, how many values lay below it: what Prometheus calls buckets."""
    counts = [0] * (len(edges) + 1)
    for index, count in histogram.items():
        counts[bisect_right(edges, index)] += count
    return list(zip((*map(seconds, edges), "+Inf"), accumulate(counts), strict=True))


def estimated_sum(histogram: Histogram) -> float:
    """The sum of all values in seconds, each taken for the geometric middle of its bucket: at most 4.9 % off."""
    return sum((count * middle_ms(index) for index, count in histogram.items()), 0.0) / 1000


@lru_cache(maxsize=512)
def middle_ms(index: int) -> float:
    """The geometric middle of a bucket."""
    return float(RATIO ** (index + 0.5))


def together(histograms: Sequence[Histogram]) -> Histogram:
    sums: dict[int, int] = {}
    for histogram in histograms:
        for index, count in histogram.items():
            sums[index] = sums.get(index, 0) + count
    return sums

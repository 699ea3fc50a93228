"""Several rankings made one: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). Pure.

Ranks of different scores can be added, where a BM25 score and a cosine cannot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
CONSTANT = 60
"""How little the very first ranks weigh more than the next ones; the paper's."""


def fuse(rankings: Iterable[Sequence[Key]]) -> list[tuple[Key, float]]:
    """All that is in one of the rankings, best first, with the sum of 1 / (60 + rank) over them; ranks count from 1.

    Of equal sums what stood first in an earlier ranking comes first.
    """
    sums: dict[Key, float] = defaultdict(float)
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            sums[key] += 1.0 / (CONSTANT + rank)
    return sorted(sums.items(), key=lambda pair: -pair[1])

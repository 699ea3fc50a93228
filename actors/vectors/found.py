"""What a search over one segment found, before segments and shards are merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.vectors.rows import Floats

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
"""One element for each row of a segment."""


@dataclass(frozen=True)
class Found:
    """(q, k) row numbers of a segment, nearest first, -1 where there are no more, and (q, k) scores (-inf there)."""

    rows: Rows
    scores: Floats


def among(found: Found, allowed: Mask, k: int) -> Found:
    """The k nearest of those found that are allowed."""
    kept = allowed[found.rows]  # -1 stands for no row here as there, and after all rows
    rank = kept.cumsum(axis=1)
    if (rank[:, -1] >= k).all():
        first = kept & (rank <= k)
        return Found(found.rows[first].reshape(-1, k), found.scores[first].reshape(-1, k))
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    query = np.arange(len(order))[:, None]
    rows, scores, others = found.rows[query, order], found.scores[query, order], ~kept[query, order]
    rows[others] = -1
    scores[others] = -np.inf
    return Found(rows, scores)

"""The nearest over several segments, of what was found in each. Pure, and without a loop over queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.vectors.found import Found, Rows
from actors.vectors.rows import Floats


@dataclass(frozen=True)
class Top:
    """Of q queries together, as `Hits`: hit i is row `rows[i]` of part `parts[i]`."""

    counts: NDArray[np.int32]
    parts: Rows
    rows: Rows
    scores: Floats


def top(found: Sequence[Found], queries: int, k: int, threshold: float | None) -> Top:
    """The k nearest of each query that score at least `threshold`; `found` has one element for each part."""
    if not found:
        nothing = np.zeros(0, np.int64)
        return Top(np.zeros(queries, np.int32), nothing, nothing, np.zeros(0, np.float32))
    rows = np.concatenate([one.rows for one in found], axis=1)
    scores = np.concatenate([one.scores for one in found], axis=1)
    parts = np.repeat(np.arange(len(found)), [one.rows.shape[1] for one in found])[None, :]
    if len(found) > 1:
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        parts = parts[0][order]
    kept = rows >= 0
    if threshold is not None:
        kept &= scores >= threshold
    counts = kept.sum(axis=1, dtype=np.int32)
    return Top(counts, np.broadcast_to(parts, rows.shape)[kept], rows[kept], scores[kept])

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
    order = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    if len(found) > 1:
        # What is no row comes last, even behind one that is infinitely far: NaN is sorted to the end.
        order = np.where(rows < 0, np.float32(np.nan), -scores).argsort(axis=1, kind="stable")[:, :k]
        at = order + np.arange(0, rows.size, rows.shape[1])[:, None]
        rows, scores = rows.take(at), scores.take(at)
    kept = rows >= 0
    if threshold is not None:
        kept &= scores >= threshold
    part_of = np.repeat(np.arange(len(found)), [one.rows.shape[1] for one in found])
    if kept.all():
        counts = np.full(queries, rows.shape[1], np.int32)
        return Top(counts, part_of.take(order.ravel()), rows.ravel(), scores.ravel())
    return Top(kept.sum(axis=1, dtype=np.int32), part_of.take(order[kept]), rows[kept], scores[kept])

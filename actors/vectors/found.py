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

"""What a shard is asked for and answers: plain frozen values that cross processes.

A score is a nearness, the greater the nearer: the inner product, the cosine, or for metric l2 the squared Euclidean
distance with a minus before it. What users see of l2 is the distance; only the edge turns it around.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.vectors.rows import Floats
from control.specs.vector_filter import EVERYTHING, Filter


class Level(Enum):
    """How much of the log a reader waits for."""

    INDEXED = "indexed"  # only what is in sealed segments: never waits, may lack the newest rows; deletions hold
    LOG = "log"  # all that this replica has applied, at least up to the reader's token
    QUORUM = "quorum"  # all that was acknowledged to anybody before the read began: asked of the leader


@dataclass(frozen=True)
class Tuning:
    """What a single search may ask of the index instead of the collection's own; None leaves it as it is.

    `exact` measures every allowed row.
    """

    ef_search: int | None = None
    nprobe: int | None = None
    rerank: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Query:
    """`vectors` (q, dimension), normalised for cosine; the `k` nearest of each that match `where` and score at least
    `threshold`. `columns` are the metadata fields, and `vector`, that come with each hit.
    """

    vectors: Floats
    k: int
    where: Filter = EVERYTHING
    threshold: float | None = None
    columns: tuple[str, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    level: Level = Level.LOG
    token: int = 0
    """LOG: the sequence number up to which the replica must have applied the log."""


@dataclass(frozen=True)
class TextQuery:
    """The `k` rows whose text fields (`fields`, which are not none) fit the words of `text` best by BM25, of those that
    match `where`. The rest as for `Query`; the scores are BM25's.
    """

    text: str
    fields: tuple[str, ...]
    k: int
    where: Filter = EVERYTHING
    columns: tuple[str, ...] = ()
    level: Level = Level.LOG
    token: int = 0


@dataclass(frozen=True)
class Hits:
    """Of q queries together: query i has `counts[i]` hits, nearest first, one after the other in `ids` and `scores`.

    `rows` has the asked columns of every hit, in the same order; None where no column was asked for. `seq` is how far
    the log was applied that they were found in.
    """

    counts: NDArray[np.int32]
    ids: pa.Array
    scores: Floats
    rows: pa.RecordBatch | None
    seq: int

"""The vectors that searches are measured with: a data set, its exact neighbours, and filters of every kind. Only NumPy:
peers read it with an interpreter of their own.

A filter is a range of one whole number that every row has, so each system can have an index on it:
  random          the number has nothing to do with the vector
  correlated      it is the rank of the row's distance from one row; the queries are near that one, and so are the
                  rows that match
  anticorrelated  the same, but the rows farthest from it match
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

K = 10
SELECTIVITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
KINDS = ("random", "correlated", "anticorrelated")
DEAD, UNSEALED = 0.05, 0.02
"""The parts of the rows that are deleted, and that came after the index was built."""
_BLOCK_BYTES = 256 << 20


@dataclass(frozen=True)
class Case:
    """One filter: rows with `low` <= `attribute` < `high` match. `queries` has the row numbers of those it is asked
    with, `wanted` (q, K) the exact answer, -1 where fewer match.
    """

    kind: str
    selectivity: float
    attribute: str
    low: int
    high: int
    queries: Ints
    wanted: Ints


@dataclass(frozen=True)
class Dataset:
    """Squared Euclidean distance. `alive` are the rows that are not deleted; deleted ones are in `base`, too.

    `numbers` has the whole numbers of each row that filters are on, by their names.
    """

    base: Floats
    queries: Floats
    alive: NDArray[np.bool_]
    wanted: Ints
    numbers: dict[str, Ints] = field(default_factory=dict)

    @property
    def sealed(self) -> int:
        """So many rows are there before the index is built; the rest comes afterwards."""
        return len(self.base) - int(len(self.base) * UNSEALED)


def load(path: Path, seed: int = 0) -> Dataset:
    """An npz with `base` (n, d) and `queries` (q, d). Its own `gt_ids` hold where none of the first K is deleted."""
    with np.load(path) as file:
        base, queries = (np.ascontiguousarray(file[name], np.float32) for name in ("base", "queries"))
        given = file["gt_ids"][:, :K].astype(np.int64) if "gt_ids" in file else None
    chance = np.random.default_rng(seed)
    alive = np.ones(len(base), bool)
    alive[chance.choice(len(base), int(len(base) * DEAD), replace=False)] = False
    if given is not None and given.shape[1] == K:
        wanted = given.copy()
        broken = ~alive[given].all(1)
        wanted[broken] = exact(base, queries[broken], alive)
    else:
        wanted = exact(base, queries, alive)
    rank = np.argsort(np.argsort(squared(base[:1], base)[0], kind="stable"), kind="stable")
    numbers = {"random": chance.permutation(len(base)), "rank": rank}
    return Dataset(base, queries, alive, wanted, numbers)


def cases(data: Dataset, most_queries: int = 200) -> Iterator[Case]:
    """Every kind of filter with every selectivity."""
    rows = len(data.base)
    near = np.argsort(squared(data.base[:1], data.queries)[0], kind="stable")[:most_queries]
    anyhow = np.arange(min(most_queries, len(data.queries)))
    for kind in KINDS:
        attribute, queries = ("random", anyhow) if kind == "random" else ("rank", near)
        for selectivity in SELECTIVITIES:
            count = max(1, round(rows * selectivity))
            low = rows - count if kind == "anticorrelated" else 0
            numbers = data.numbers[attribute]
            matches = (numbers >= low) & (numbers < low + count)
            wanted = exact(data.base, data.queries[queries], matches & data.alive)
            yield Case(kind, selectivity, attribute, low, low + count, queries, wanted)


def exact(base: Floats, queries: Floats, allowed: NDArray[np.bool_]) -> Ints:
    """(q, K) row numbers of the nearest allowed rows, -1 where there are fewer."""
    rows = np.flatnonzero(allowed)
    found = np.full((len(queries), K), -1, np.int64)
    count = min(K, len(rows))
    if count == 0:
        return found
    candidates = base[rows]
    at_once = max(1, _BLOCK_BYTES // (4 * len(rows)))
    for first in range(0, len(queries), at_once):
        distances = squared(queries[first : first + at_once], candidates)
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, nearest, 1), axis=1, kind="stable")
        found[first : first + at_once, :count] = rows[np.take_along_axis(nearest, order, 1)]
    return found


def squared(some: Floats, others: Floats) -> Floats:
    """(s, o) squared distances."""
    distances: Floats = (some**2).sum(1)[:, None] - 2 * (some @ others.T) + (others**2).sum(1)[None]
    return distances


def recall(data: Dataset, queries: Floats, wanted: Ints, found: Ints) -> float:
    """The mean part of the exact answer that was found; a row just as far as the last of it will do.

    Raises ValueError where a query was answered with fewer rows than match, or with one twice: then it was no answer.
    """
    most = (wanted >= 0).sum(1)
    shares = []
    for query, right, answer, count in zip(queries, wanted, found, most, strict=True):
        given = answer[answer >= 0]
        if len(given) < count or len(np.unique(given)) < len(given):
            raise ValueError(f"{len(np.unique(given))} rows were found where {count} match")
        if count:
            last = ((data.base[right[count - 1]] - query) ** 2).sum()
            near = ((data.base[given[:count]] - query) ** 2).sum(1) <= last * (1 + 1e-5)
            shares.append(near.sum() / count)
    return float(np.mean(shares)) if shares else 1.0


def save_cases(path: Path, made: list[Case]) -> None:
    """For the peers, which read them with `load_cases`."""
    arrays = {f"{name}{i}": getattr(one, name) for i, one in enumerate(made) for name in ("queries", "wanted")}
    told = [[c.kind, c.selectivity, c.attribute, c.low, c.high] for c in made]
    np.savez(path, told=json.dumps(told), **arrays)


def load_cases(path: Path) -> list[Case]:
    with np.load(path) as file:
        told: list[tuple[str, float, str, int, int]] = json.loads(str(file["told"]))
        return [Case(*case, file[f"queries{i}"], file[f"wanted{i}"]) for i, case in enumerate(told)]

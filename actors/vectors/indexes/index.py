"""What every index of a sealed segment can do. It is built once and never changed: deletions are masks over it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

from actors.vectors.found import Found
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexKind


class IndexDamaged(Exception):
    """The files of an index cannot be read, or are not those of the collection."""


class Index(Protocol):
    """Row i of the index is row i of its segment. Searches may come from several threads at once.

    Queries are C-contiguous; a search runs with as many OpenMP threads as its calling thread has set. ValueError where
    their dimension is not the index's.
    """

    @property
    def kind(self) -> IndexKind:
        """What was built; never `auto`."""
        ...

    @property
    def vectors(self) -> Floats:
        """The raw vectors (n, dimension), without a copy: what is measured exactly is measured on these."""
        ...

    def search(self, queries: Floats, k: int, tuning: Tuning) -> Found:
        """The k nearest of all rows, dead ones too. `tuning` must be complete (`tuned`)."""
        ...

    def tuned(self, tuning: Tuning, k: int, wide: int = 0, share: float = 1.0) -> Tuning:
        """Every parameter filled in, so that the collection's target recall holds for the k nearest, or the k nearest
        allowed ones among the `wide` nearest, where `share` of them are.
        """
        ...

    def retuned(self, spec: CollectionSpec) -> Self:
        """The same index, in the same memory, under other search parameters (`vector_index.SEARCH_PARAMETERS`)."""
        ...

    def cost(self, tuning: Tuning, k: int) -> float:
        """About how many distances of a scan take as long as one query, for the planner to compare with a scan."""
        ...

    def save(self, directory: Path) -> None:
        """Everything that `load_index` needs, in files of this directory; not yet synced."""
        ...

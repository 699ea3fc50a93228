"""What every index of a sealed segment can do. It is built once and never changed: deletions are masks over it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from actors.vectors.found import Found, Mask
from actors.vectors.query import Tuning
from actors.vectors.rows import Floats
from control.specs.vector_index import IndexKind


class Index(Protocol):
    """Row i of the index is row i of its segment. Searches may come from several threads at once."""

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

    def search_allowed(self, queries: Floats, k: int, tuning: Tuning, allowed: Mask) -> Found | None:
        """The k nearest of the allowed rows by a traversal that skips the others, or None where this kind cannot, or
        not without the risk of returning fewer or farther ones: the caller then widens `search`, or measures all.
        """
        ...

    def tuned(self, tuning: Tuning, k: int) -> Tuning:
        """Every parameter filled in, so that the collection's target recall holds for so large a k."""
        ...

    def cost(self, tuning: Tuning, k: int) -> float:
        """About how many distances one query measures, for the planner to compare with a scan."""
        ...

    def save(self, directory: Path) -> None:
        """Everything but what the segment holds itself, in files of this directory; not yet synced."""
        ...

"""What answers filters over the rows of one segment."""

from __future__ import annotations

from typing import Protocol

from actors.vectors.found import Mask
from control.specs.vector_filter import Filter


class Columns(Protocol):
    """The metadata of n rows. Filters are checked against the schema before they come here."""

    def bounds(self, where: Filter) -> tuple[int, int]:
        """At least and at most so many of the rows match, dead ones too; cheap."""
        ...

    def mask(self, where: Filter) -> Mask:
        """Which rows match, (n,). Not to be written to: it may be kept for the next one who asks."""
        ...

    @property
    def nbytes(self) -> int:
        """Of memory that its indexes take."""
        ...

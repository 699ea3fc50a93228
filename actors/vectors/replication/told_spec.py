"""The spec that a replica was told last: its process begins again with the one it was made with, which may be older.

A crash leaves the one before, or this one; control tells it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from actors.durable import write_atomically
from control.specs.collection import CollectionSpec

_FILE = "spec.json"


@dataclass(frozen=True)
class ToldSpec:
    """`generation` counts the collection's specs."""

    generation: int
    spec: CollectionSpec

    def keep(self, directory: Path) -> None:
        """Durable when it returns."""
        write_atomically(directory / _FILE, _ADAPTER.dump_json(self).decode())

    def or_newer(self, directory: Path) -> ToldSpec:
        """What was kept, where it is newer. One that another release wrote and this one cannot read is none."""
        try:
            kept = _ADAPTER.validate_json((directory / _FILE).read_bytes())
        except (FileNotFoundError, ValueError):
            return self
        return kept if kept.generation > self.generation else self


_ADAPTER = TypeAdapter(ToldSpec)

"""Kept answers: found by what was asked, or by its vector among those that differ in the last message only.

In memory, bounded in bytes, in number and in time; a tenant that asks much pushes out its own. No clock: `now` is
given, in seconds. Not for several threads at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

DIMENSIONS = 384
NEIGHBOURS = 8
"""So many near questions are looked at: the nearest may differ in a number, and the next have other words only."""
OVERHEAD = 1024
"""Bytes that an entry takes besides its texts and its vector."""


@dataclass(slots=True)
class Entry:
    """One answer. `number` is its vector's in the index of `near`; 0 where it has none."""

    space: str
    key: bytes
    near: bytes
    text: str
    body: bytes
    cost: int
    kept_at: float
    until: float
    number: int = 0

    @property
    def size(self) -> int:
        vector = 4 * DIMENSIONS + len(self.text) if self.number else 0
        return len(self.body) + vector + OVERHEAD


@dataclass(slots=True)
class _Space:
    """The entries of one tenant on one route, the one used last at the end."""

    entries: OrderedDict[bytes, Entry] = field(default_factory=OrderedDict)
    size: int = 0


@dataclass(slots=True)
class _Near:
    """The vectors of questions that may answer for each other, by number."""

    index: Any
    entries: dict[int, Entry] = field(default_factory=dict)


class Entries:
    """`most_bytes` bounds all of it."""

    def __init__(self, most_bytes: int) -> None:
        self.size = 0
        self._most_bytes = most_bytes
        self._spaces: dict[str, _Space] = {}
        self._near: dict[bytes, _Near] = {}
        self._number = 0

    def __len__(self) -> int:
        return sum(len(space.entries) for space in self._spaces.values())

    def get(self, space: str, key: bytes, now: float) -> Entry | None:
        held = self._spaces.get(space)
        entry = held.entries.get(key) if held else None
        if held is None or entry is None:
            return None
        if entry.until <= now:
            self._drop(entry)
            return None
        held.entries.move_to_end(key)
        return entry

    def nearest(self, near: bytes, vector: Vector, threshold: float, now: float) -> Iterator[tuple[Entry, float]]:
        """Those with a cosine of at least `threshold` to `vector`, the nearest first."""
        held = self._near.get(near)
        if held is None:
            return
        similarities, numbers = held.index.search(vector[None], min(NEIGHBOURS, len(held.entries)))
        for similarity, number in zip(similarities[0].tolist(), numbers[0].tolist(), strict=True):
            entry = held.entries.get(number)
            if entry is not None and similarity >= threshold and entry.until > now:
                yield entry, similarity

    def used(self, entry: Entry) -> None:
        """It answered for another one: it is not the next to go."""
        space = self._spaces.get(entry.space)
        if space is not None and entry.key in space.entries:
            space.entries.move_to_end(entry.key)

    def put(self, entry: Entry, vector: Vector | None, most: int) -> None:
        """Keeps `entry` instead of what was kept for the same; `most` are kept in its space."""
        if (before := self._held(entry)) is not None:
            self._drop(before)
        if vector is not None:
            self._number += 1
            entry.number = self._number
            held = self._near.get(entry.near)
            if held is None:
                flat = faiss.IndexFlatIP(DIMENSIONS)
                held = self._near[entry.near] = _Near(faiss.IndexIDMap2(flat))
            held.index.add_with_ids(vector[None], np.array([entry.number]))
            held.entries[entry.number] = entry
        space = self._spaces.setdefault(entry.space, _Space())
        space.entries[entry.key] = entry
        space.size += entry.size
        self.size += entry.size
        while len(space.entries) > most:
            self._drop_oldest(space)
        while self.size > self._most_bytes:
            self._drop_oldest(max(self._spaces.values(), key=lambda one: one.size))

    def drop_old(self, now: float) -> None:
        """Lets go of what is too old, so that it takes no memory until somebody asks for it."""
        for space in list(self._spaces.values()):
            for entry in [one for one in space.entries.values() if one.until <= now]:
                self._drop(entry)

    def _held(self, entry: Entry) -> Entry | None:
        space = self._spaces.get(entry.space)
        return space.entries.get(entry.key) if space else None

    def _drop_oldest(self, space: _Space) -> None:
        self._drop(next(iter(space.entries.values())))

    def _drop(self, entry: Entry) -> None:
        space = self._spaces[entry.space]
        del space.entries[entry.key]
        space.size -= entry.size
        self.size -= entry.size
        if not space.entries:
            del self._spaces[entry.space]
        if entry.number:
            held = self._near[entry.near]
            del held.entries[entry.number]
            if held.entries:
                held.index.remove_ids(np.array([entry.number]))
            else:
                del self._near[entry.near]

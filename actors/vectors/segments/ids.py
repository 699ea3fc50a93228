"""From the ids of rows to their numbers in a sealed segment. Pure, and never changed once made.

12 bytes a row: sorted keys, and the row of each. A key is the integer id itself, or a 64-bit hash of a string id, whose
rows are then compared with the id. Hashes are Python's own, with a secret of the process: nobody can choose ids that
collide, and none of it goes to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.vectors.found import Mask, Rows

Keys = NDArray[np.int64]
_HASHED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Wanted:
    """Ids that are looked for in several segments, as an array and as a list, whichever a segment needs."""

    ids: pa.Array
    values: list[int | str]

    @cached_property
    def keys(self) -> Keys:
        return keys_of(self.ids)


def keys_of(ids: pa.Array | pa.ChunkedArray) -> Keys:
    if pa.types.is_integer(ids.type):
        integers: Keys = ids.to_numpy()
        return integers
    keys = np.empty(len(ids), np.int64)
    for start in range(0, len(ids), _HASHED_AT_ONCE):
        some = ids.slice(start, _HASHED_AT_ONCE).to_pylist()
        keys[start : start + len(some)] = np.fromiter(map(hash, some), np.int64, len(some))
    return keys


class SortedIds:
    """`ids` of the n rows of a segment, each once."""

    def __init__(self, ids: pa.Array | pa.ChunkedArray) -> None:
        self.ids = ids
        keys = keys_of(ids)
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order], order.astype(np.int32)
        self._exact = pa.types.is_integer(ids.type)

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._rows.nbytes

    def rows(self, wanted: Wanted) -> Rows:
        """The row of each id, -1 where there is none."""
        found = np.full(len(wanted.keys), -1, np.int64)
        if not len(self._keys):
            return found
        at = np.searchsorted(self._keys, wanted.keys)
        looking = np.arange(len(found))
        while len(looking):
            at_looking = np.minimum(at[looking], len(self._keys) - 1)
            looking = looking[self._keys[at_looking] == wanted.keys[looking]]
            rows = self._rows[np.minimum(at[looking], len(self._keys) - 1)].astype(np.int64)
            same = self._same(wanted, looking, rows)
            found[looking[same]] = rows[same]
            looking = looking[~same]
            at[looking] += 1  # another id with the same hash
            looking = looking[at[looking] < len(self._keys)]
        return found

    def _same(self, wanted: Wanted, looking: Rows, rows: Rows) -> Mask:
        if self._exact or not len(rows):
            return np.ones(len(rows), np.bool_)
        same: Mask = pc.equal(self.ids.take(pa.array(rows)), wanted.ids.take(pa.array(looking))).to_numpy(
            zero_copy_only=False
        )
        return same

    @cached_property
    def ascending(self) -> Rows:
        """The rows in the order of their ids: numbers by size, strings by their code points."""
        if self._exact:
            return self._rows.astype(np.int64)
        order: Rows = pc.sort_indices(self.ids).to_numpy().astype(np.int64)
        return order

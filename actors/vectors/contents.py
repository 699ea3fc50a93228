"""What a shard holds, in memory: one immutable `View` after the other, as its log and its upkeep change it.

One thread applies entries, another one puts segments in the place of parts; readers take `view`, and wait for nobody.
It owns no files, so a crash loses it: the shard is then what its receipt says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.found import Rows
from actors.vectors.rows import ID, conformed, row_schema
from actors.vectors.segments.growing import Growing, GrowingRows
from actors.vectors.segments.ids import Wanted
from actors.vectors.segments.part import Part
from actors.vectors.segments.sealed import Sealed
from actors.vectors.stored import Stored
from actors.vectors.view import SealedPart, View
from control.specs.collection import CollectionSpec

SEAL_BYTES = 16 << 20
"""Of raw vectors in the growing segment: about 2 ms of exact search for one query."""


class Contents:
    """Begins as it is stored at `position`."""

    def __init__(self, spec: CollectionSpec, stored: Stored, position: Position) -> None:
        self.spec = spec
        self._growing = Growing(spec)
        for batch in stored.growing:
            self._growing.append(batch, batch.column(ID).to_pylist())
        self.view = View(stored.sealed, (), Part(self._growing.rows()), position)
        self._turn = threading.RLock()

    def apply(self, entries: Sequence[Entry]) -> int:
        """All of them or none: readers see them at once. Those that were applied before are skipped.

        How many bytes of bodies the others have. Raises ValueError where one is missing before them, and UnknownField.
        """
        with self._turn:
            view = self.view
            new = [entry for entry in entries if entry.seq > view.applied.seq]
            if not new:
                return 0
            if new[0].seq != view.applied.seq + 1:
                raise ValueError(f"entry {new[0].seq} after entry {view.applied.seq}: those between are missing")
            schema = row_schema(self.spec)
            batches = [
                (kind, _rows_of(list(some), schema if kind is Kind.UPSERT else None))
                for kind, some in groupby(new, key=lambda entry: entry.kind)
            ]
            for kind, batch in batches:
                if batch is not None:
                    view = self._changed(view, kind, batch)
            self.view = replace(view, applied=Position(new[-1].epoch, new[-1].seq))
            if view.growing.rowset.vectors.nbytes >= SEAL_BYTES:
                self.freeze()
            return sum(len(entry.body) for entry in new)

    def freeze(self) -> None:
        """The growing segment takes no more rows, and waits to be sealed."""
        with self._turn:
            view = self.view
            if view.growing.rows:
                self._growing = Growing(self.spec)
                frozen = (*view.frozen, view.growing)
                self.view = replace(view, frozen=frozen, growing=Part(self._growing.rows()))

    def switch(self, old: Sequence[Part], taken: Sequence[Rows], made: Sealed | None) -> None:
        """`made` takes the place of the parts whose rows it has, without those that died meanwhile."""
        replaced = [part.rowset for part in old]
        new: tuple[SealedPart, ...] = ()
        with self._turn:
            view = self.view
            if made is not None:
                made.retune(self.spec)
                now = {id(part.rowset): part.alive for part in (*view.sealed, *view.frozen)}
                masks = ((now[id(rowset)], rows) for rowset, rows in zip(replaced, taken, strict=True))
                alive = [np.ones(len(rows), np.bool_) if mask is None else mask[rows] for mask, rows in masks]
                new = (SealedPart(made).killed(np.flatnonzero(~np.concatenate(alive))),)
            self.view = replace(
                view,
                sealed=(*(part for part in view.sealed if part.rowset not in replaced), *new),
                frozen=tuple(part for part in view.frozen if part.rowset not in replaced),
            )

    def receipt(self, write: Callable[[View, CollectionSpec], None]) -> None:
        """Of the view and the spec that belong together."""
        with self._turn:
            view, spec = self.view, self.spec
        write(view, spec)

    def retune(self, spec: CollectionSpec) -> None:
        """By the thread that switches."""
        for part in self.view.sealed:
            part.rowset.retune(spec)  # may take a second, for which nothing waits
        with self._turn:
            if spec.fields != self.spec.fields:
                view = self.view
                frozen = tuple(replace(part, rowset=_growing(part).under(spec).rows()) for part in view.frozen)
                self._growing = self._growing.under(spec)
                growing = replace(view.growing, rowset=self._growing.rows())
                self.view = replace(view, frozen=frozen, growing=growing)
            self.spec = spec

    def _changed(self, view: View, kind: Kind, batch: pa.RecordBatch) -> View:
        """With the rows of a batch in place of those that had their ids, or without these."""
        ids: list[int | str] = batch.column(ID).to_pylist()
        if kind is Kind.UPSERT:
            last = dict(zip(ids, range(len(ids)), strict=True))
            if len(last) < len(ids):
                batch = batch.take(pa.array(last.values()))
                ids = list(last)
        wanted = Wanted(batch.column(ID), ids)
        view = View(
            tuple(part.without(wanted) for part in view.sealed),
            tuple(part.without(wanted) for part in view.frozen),
            view.growing.without(wanted),
            view.applied,
        )
        if kind is Kind.DELETE:
            return view
        self._growing.append(batch, ids)
        alive = view.growing.alive
        if alive is not None:
            alive = np.concatenate((alive, np.ones(len(ids), np.bool_)))
        return replace(view, growing=Part(self._growing.rows(), alive, view.growing.dead))


def _growing(part: Part) -> Growing:
    assert isinstance(part.rowset, GrowingRows), "what is frozen was growing"
    return part.rowset.growing


def _rows_of(entries: Sequence[Entry], schema: pa.Schema | None) -> pa.RecordBatch | None:
    """The rows of the bodies of all entries, None where they have none."""
    tables = [pa.ipc.open_stream(entry.body).read_all() for entry in entries if entry.body]
    if schema is not None:
        tables = [conformed(table, schema) for table in tables]
    batches = pa.concat_tables(tables).to_batches() if tables else []
    return pa.concat_batches(batches) if batches else None

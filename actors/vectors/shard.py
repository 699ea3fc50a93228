"""The data of one replica of a shard: a state machine over the entries of its log. No Ray, no replication.

One thread applies, many read, one maintains. What readers see is one immutable `View`, replaced by each `apply` and by
each switch of segments. It owns its directory except for the log; what is applied and in no receipt is only in memory,
so a crash leaves the shard as it was at `receipt`, and the entries behind that are applied again.

It never applies entries that are not committed, and never cuts the log.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.found import Rows
from actors.vectors.query import Hits, Query, TextQuery
from actors.vectors.receipts import Receipts
from actors.vectors.rows import ID
from actors.vectors.segments import tiers
from actors.vectors.segments.growing import Growing
from actors.vectors.segments.ids import Wanted
from actors.vectors.segments.part import Part
from actors.vectors.segments.rebuild import Rebuild
from actors.vectors.segments.sealed import Sealed, asked_of
from actors.vectors.shard_figures import ShardFigures
from actors.vectors.stored import read_stored
from actors.vectors.view import SealedPart, View
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Filter
from control.specs.vector_index import IndexSpec

SEAL_BYTES = 16 << 20
"""Of raw vectors in the growing segment: about 2 ms of exact search for one query."""
RECEIPT_BYTES = 64 << 20
"""Of log entries that a restart would apply again: about 2 s."""
_WAIT_SECONDS = 0.05
"""For a rebuild that runs, in one step of `maintain`."""


class Shard:
    """`degraded` says which of its segments are damaged and left out, and why."""

    def __init__(self, spec: CollectionSpec, view: View, growing: Growing, receipts: Receipts) -> None:
        self.spec = spec
        self.degraded = tuple(one.reason for one in receipts.lost)
        self._view, self._growing, self._receipts = view, growing, receipts
        self._writing, self._maintaining = threading.RLock(), threading.Lock()
        self._rebuild: Rebuild | None = None
        self._applied_bytes, self._receipted_bytes = 0, 0
        self._rebuilds, self._reason = 0, ""
        self._asked, self._optimising, self._optimised = 0, 0, 0

    @staticmethod
    def open(directory: Path, spec: CollectionSpec) -> Shard:
        """Reads all files and their checksums, about 1 GB/s. ValueError where they are of another schema."""
        directory.mkdir(parents=True, exist_ok=True)
        stored = read_stored(directory, spec)
        growing = Growing(spec)
        for batch in stored.growing:
            growing.append(batch, batch.column(ID).to_pylist())
        receipts = Receipts(directory, spec, stored)
        return Shard(spec, View(stored.sealed, (), Part(growing.rows()), receipts.position), growing, receipts)

    @property
    def applied(self) -> Position:
        return self._view.applied

    @property
    def receipt(self) -> Position:
        """What the files have: the log may be cut before it."""
        return self._receipts.position

    def apply(self, entries: Sequence[Entry]) -> None:
        """All of them or none: readers see them at once. Those that were applied before are skipped.

        Raises ValueError where one is missing before them.
        """
        with self._writing:
            view = self._view
            new = [entry for entry in entries if entry.seq > view.applied.seq]
            if not new:
                return
            if new[0].seq != view.applied.seq + 1:
                raise ValueError(f"entry {new[0].seq} after entry {view.applied.seq}: those between are missing")
            batches = [(kind, _rows_of(list(some))) for kind, some in groupby(new, key=lambda entry: entry.kind)]
            for kind, batch in batches:
                if batch is not None:
                    view = self._changed(view, kind, batch)
            view = replace(view, applied=Position(new[-1].epoch, new[-1].seq))
            if view.growing.rowset.vectors.nbytes >= SEAL_BYTES:
                view = self._froze(view)
            self._view = view
            self._applied_bytes += sum(len(entry.body) for entry in new)

    def search(self, query: Query) -> Hits:
        return self._view.search(query)

    def search_text(self, query: TextQuery) -> Hits:
        return self._view.search_text(query)

    def fetch(self, ids: pa.Array, columns: tuple[str, ...]) -> pa.RecordBatch:
        return self._view.fetch(ids, columns)

    def scroll(self, where: Filter, after: int | str | None, limit: int, columns: tuple[str, ...]) -> pa.RecordBatch:
        return self._view.scroll(where, after, limit, columns)

    def matching(self, where: Filter) -> pa.Array:
        return self._view.matching(where)

    def count(self, where: Filter) -> int:
        return self._view.count(where)

    def maintain(self) -> bool:
        """One step of what makes searches fast, and restarts short. False when there is nothing to do.

        OSError where the disk is full: the shard is as it was, and a later step tries again.
        """
        with self._maintaining:
            if self._rebuild is not None and self._rebuild.over(0):
                self._finish(self._rebuild)
            elif self._view.frozen:
                self._seal()
            elif self._applied_bytes - self._receipted_bytes > RECEIPT_BYTES:
                self._write_receipt()
            elif self._rebuild is not None:
                self._rebuild.over(_WAIT_SECONDS)
            else:
                return self._begin()
            return True

    def flush(self) -> Position:
        """Writes a receipt of all that is applied, and returns its position. Raises OSError."""
        with self._maintaining:
            self._write_receipt()
            return self.receipt

    def optimise(self) -> None:
        """Has `maintain` make one segment of all rows that there are now, without dead ones."""
        with self._writing:
            if self._view.growing.rows:
                self._view = self._froze(self._view)
            self._asked += 1

    def retune(self, spec: CollectionSpec) -> None:
        """Other search parameters hold at once; for another index `maintain` rebuilds one segment after the other."""
        with self._writing:
            self.spec = spec
            for part in self._view.sealed:
                part.rowset.index = part.rowset.index.retuned(spec)

    @property
    def directory(self) -> Path:
        return self._receipts.directory

    def files(self) -> list[Path]:
        """What is the shard at `receipt`, the manifest last; unchanged until `release`."""
        return self._receipts.files()

    def release(self) -> None:
        self._receipts.release()

    def figures(self) -> ShardFigures:
        view, rebuild = self._view, self._rebuild
        sizes = self._sizes(view)
        exact = [*view.frozen, view.growing]
        return ShardFigures(
            rows=sum(part.rows - part.dead for part in view.parts),
            dead=sum(part.dead for part in view.parts),
            segments=len(view.sealed),
            growing_rows=sum(part.rows for part in exact),
            exact_rows=sum(part.rows for part in exact) + sum(one.rows for one in sizes if one.fresh),
            vector_bytes=sum(part.rowset.vectors.nbytes for part in view.parts),
            metadata_bytes=sum(part.rowset.nbytes for part in view.sealed),
            unreceipted_bytes=self._applied_bytes - self._receipted_bytes,
            rebuilds=self._rebuilds,
            building_rows=sum(map(len, rebuild.taken)) if rebuild else 0,
            index_rows=rebuild.indexed if rebuild else 0,
            outdated=sum(one.outdated for one in sizes),
            last_reason=self._reason,
        )

    def close(self) -> None:
        """Ends a rebuild that runs. Nothing is written: the log has what no receipt has."""
        with self._maintaining:
            if self._rebuild is not None:
                self._rebuild.stop()
                self._receipts.abandon(self._rebuild.name)
                self._rebuild = None

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

    def _froze(self, view: View) -> View:
        self._growing = Growing(self.spec)
        return replace(view, frozen=(*view.frozen, view.growing), growing=Part(self._growing.rows()))

    def _seal(self) -> None:
        """All frozen rows become one segment without an index, which takes no time to speak of."""
        parts = self._view.frozen
        taken = [part.living() for part in parts]
        sources = [(part.rowset, rows) for part, rows in zip(parts, taken, strict=True) if len(rows)]
        if not sources:
            self._switch(parts, taken, None)
            return
        flat = self.spec.model_copy(update={"index": IndexSpec(kind="flat")})
        name = self._receipts.new_segment()
        try:
            made = Sealed.make(self._receipts.directory, name, sources, flat, lambda _: None)
        except BaseException:
            self._receipts.abandon(name)
            raise
        made.record = replace(made.record, asked="")
        self._switch(parts, taken, made)

    def _begin(self) -> bool:
        view = self._view
        self._optimising = self._asked
        plan = tiers.plan(self._sizes(view), self._asked > self._optimised)
        if plan is None:
            self._optimised = self._optimising
            return False
        parts = tuple(part for part in view.sealed if part.rowset.record.name in plan.names)
        self._reason = plan.reason
        self._rebuild = Rebuild(self._receipts.directory, self._receipts.new_segment(), parts, self.spec)
        self._rebuild.begin()
        return True

    def _finish(self, rebuild: Rebuild) -> None:
        self._rebuild = None
        if rebuild.error is not None:
            self._receipts.abandon(rebuild.name)
            raise rebuild.error
        self._optimised = self._optimising
        self._rebuilds += 1
        self._switch(rebuild.parts, rebuild.taken, rebuild.made)

    def _switch(self, old: Sequence[Part], taken: Sequence[Rows], made: Sealed | None) -> None:
        """`made` takes the place of the parts whose rows it has, without those that died meanwhile."""
        replaced = [part.rowset for part in old]
        new: tuple[SealedPart, ...] = ()
        with self._writing:
            view = self._view
            if made is not None:
                made.index = made.index.retuned(self.spec)
                now = {id(part.rowset): part.alive for part in (*view.sealed, *view.frozen)}
                masks = ((now[id(rowset)], rows) for rowset, rows in zip(replaced, taken, strict=True))
                alive = [np.ones(len(rows), np.bool_) if mask is None else mask[rows] for mask, rows in masks]
                new = (SealedPart(made).killed(np.flatnonzero(~np.concatenate(alive))),)
            self._view = replace(
                view,
                sealed=(*(part for part in view.sealed if part.rowset not in replaced), *new),
                frozen=tuple(part for part in view.frozen if part.rowset not in replaced),
            )
        self._write_receipt()

    def _write_receipt(self) -> None:
        receipted = self._applied_bytes  # of the view that is read next, or of one before it
        self._receipts.write(self._view)
        self._receipted_bytes = receipted

    def _sizes(self, view: View) -> list[tiers.Size]:
        asked = asked_of(self.spec)
        records = [(part, part.rowset.record) for part in view.sealed]
        return [
            tiers.Size(record.name, part.rows, part.dead, not record.asked, record.asked not in ("", asked))
            for part, record in records
        ]


def _rows_of(entries: Sequence[Entry]) -> pa.RecordBatch | None:
    """The rows of the bodies of all entries, None where they have none."""
    tables = [pa.ipc.open_stream(entry.body).read_all() for entry in entries if entry.body]
    batches = pa.concat_tables(tables).to_batches() if tables else []
    return pa.concat_batches(batches) if batches else None

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
from pathlib import Path

from actors.vectors.contents import Contents
from actors.vectors.entry import Entry, Position
from actors.vectors.found import Rows
from actors.vectors.receipts import Receipts
from actors.vectors.segments import tiers
from actors.vectors.segments.part import Part
from actors.vectors.segments.rebuild import Rebuild
from actors.vectors.segments.sealed import Sealed, asked_of
from actors.vectors.shard_figures import ShardFigures
from actors.vectors.stored import read_stored
from actors.vectors.view import View
from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexSpec

RECEIPT_BYTES = 64 << 20
"""Of log entries that a restart would apply again: about 2 s."""
_WAIT_SECONDS = 0.05
"""For a rebuild that runs, in one step of `maintain`."""


class Shard:
    """`degraded` says which of its segments are damaged and left out, and why; `receipts` keeps its files."""

    def __init__(self, contents: Contents, receipts: Receipts) -> None:
        self.degraded = tuple(one.reason for one in receipts.lost)
        self.receipts, self._contents = receipts, contents
        self._maintaining = threading.Lock()
        self._rebuild: Rebuild | None = None
        self._applied_bytes, self._receipted_bytes = 0, 0
        self._rebuilds, self._reason = 0, ""
        self._asked, self._optimising, self._optimised = 0, 0, 0

    @staticmethod
    def open(directory: Path, spec: CollectionSpec) -> Shard:
        """Reads all files and their checksums, about 1 GB/s. ValueError where they are of another dimension or metric,
        UnknownField where they have more fields.
        """
        directory.mkdir(parents=True, exist_ok=True)
        stored = read_stored(directory, spec)
        receipts = Receipts(directory, stored)
        return Shard(Contents(spec, stored, receipts.position), receipts)

    @property
    def view(self) -> View:
        """What readers read, as it is now."""
        return self._contents.view

    @property
    def applied(self) -> Position:
        return self.view.applied

    @property
    def receipt(self) -> Position:
        """What the files have: the log may be cut before it."""
        return self.receipts.position

    def apply(self, entries: Sequence[Entry]) -> None:
        """All of them or none: readers see them at once. Those that were applied before are skipped.

        Raises ValueError where one is missing before them, and UnknownField.
        """
        self._applied_bytes += self._contents.apply(entries)

    def maintain(self) -> bool:
        """One step of what makes searches fast, and restarts short. False when there is nothing to do.

        OSError where the disk is full: the shard is as it was, and a later step tries again.
        """
        with self._maintaining:
            if self._rebuild is not None and self._rebuild.over(0):
                self._finish(self._rebuild)
            elif self.view.frozen:
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
        self._contents.freeze()
        self._asked += 1

    def retune(self, spec: CollectionSpec) -> None:
        """Other search parameters and more fields hold when it returns; for another index `maintain` rebuilds one
        segment after the other.
        """
        with self._maintaining:
            self._contents.retune(spec)

    def figures(self) -> ShardFigures:
        view, rebuild = self.view, self._rebuild
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
                self.receipts.abandon(self._rebuild.name)
                self._rebuild = None

    def _seal(self) -> None:
        """All frozen rows become one segment without an index, which takes no time to speak of."""
        parts = self.view.frozen
        taken = [part.living() for part in parts]
        sources = [(part.rowset, rows) for part, rows in zip(parts, taken, strict=True) if len(rows)]
        if not sources:
            self._switch(parts, taken, None)
            return
        flat = self._contents.spec.model_copy(update={"index": IndexSpec(kind="flat")})
        name = self.receipts.new_segment()
        try:
            made = Sealed.make(self.receipts.directory, name, sources, flat, lambda _: None)
        except BaseException:
            self.receipts.abandon(name)
            raise
        made.record = replace(made.record, asked="")
        self._switch(parts, taken, made)

    def _begin(self) -> bool:
        view = self.view
        self._optimising = self._asked
        plan = tiers.plan(self._sizes(view), self._asked > self._optimised)
        if plan is None:
            self._optimised = self._optimising
            return False
        parts = tuple(part for part in view.sealed if part.rowset.record.name in plan.names)
        self._reason = plan.reason
        self._rebuild = Rebuild(self.receipts.directory, self.receipts.new_segment(), parts, self._contents.spec)
        self._rebuild.begin()
        return True

    def _finish(self, rebuild: Rebuild) -> None:
        self._rebuild = None
        if rebuild.error is not None:
            self.receipts.abandon(rebuild.name)
            raise rebuild.error
        self._optimised = self._optimising
        self._rebuilds += 1
        self._switch(rebuild.parts, rebuild.taken, rebuild.made)

    def _switch(self, old: Sequence[Part], taken: Sequence[Rows], made: Sealed | None) -> None:
        self._contents.switch(old, taken, made)
        self._write_receipt()

    def _write_receipt(self) -> None:
        receipted = self._applied_bytes  # of the view that is read next, or of one before it
        self._contents.receipt(self.receipts.write)
        self._receipted_bytes = receipted

    def _sizes(self, view: View) -> list[tiers.Size]:
        asked = asked_of(self._contents.spec)
        records = [(part, part.rowset.record) for part in view.sealed]
        return [
            tiers.Size(record.name, part.rows, part.dead, not record.asked, record.asked not in ("", asked))
            for part, record in records
        ]

"""A sealed segment: a directory of files that are written once, and what is made of them in memory.

`rows.arrow` has the ids and fields, memory-mapped; the other files are the index's, the raw vectors among them. Which
of its rows are dead is not its business. A crash leaves a directory that no manifest names, which is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import pyarrow as pa

from actors.durable import sync
from actors.vectors.found import Found, Mask, Rows
from actors.vectors.indexes.build import build_index, load_index
from actors.vectors.indexes.index import Index
from actors.vectors.manifest import FileRecord, SegmentRecord
from actors.vectors.metadata.columns import Columns
from actors.vectors.metadata.indexed import make_columns
from actors.vectors.query import Tuning
from actors.vectors.rows import ID, Floats, conformed, stored_schema
from actors.vectors.segment_search import search_segment
from actors.vectors.segments import rowset
from actors.vectors.segments.ids import SortedIds, Wanted
from actors.vectors.segments.rowset import Rowset
from actors.vectors.text_index import TextIndex, text_fields
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import Filter
from control.specs.vector_index import SEARCH_PARAMETERS

SEGMENTS = "segments"
ROWS = "rows.arrow"
BLOCK_ROWS = 1 << 16
"""Rows that are gathered and written at once."""


@dataclass(eq=False)
class Sealed:
    """The n rows of a segment, as `Rowset`. Only `retune` changes it."""

    record: SegmentRecord
    index: Index
    table: pa.Table
    ids: SortedIds
    columns: Columns
    texts: TextIndex
    spec: CollectionSpec

    @staticmethod
    def make(
        directory: Path,
        name: str,
        sources: Sequence[tuple[Rowset, Rows]],
        spec: CollectionSpec,
        between: Callable[[int], None],
    ) -> Sealed:
        """A segment `name` of some rows of each source, one source after the other; durable when it returns.

        `between` is called now and then with the rows that the index has by then, and ends the work by raising.
        """
        path = directory / SEGMENTS / name
        path.mkdir(parents=True)
        schema = stored_schema(spec)
        with pa.OSFile(str(path / ROWS), "wb") as out, pa.ipc.new_file(out, schema) as writer:
            for source, rows in sources:
                for start in range(0, len(rows), BLOCK_ROWS):
                    between(0)
                    writer.write_batch(source.take(rows[start : start + BLOCK_ROWS], tuple(schema.names)))
        build_index(Blocks(sources), spec, between=between).save(path)
        made = sorted(path.iterdir())
        for one in (*made, path, path.parent):
            sync(one)
        files = tuple(FileRecord.of(directory, one) for one in made)
        rows_made = sum(len(rows) for _, rows in sources)
        return Sealed.open(directory, SegmentRecord(name, rows_made, asked_of(spec), files, None), spec)

    @staticmethod
    def open(directory: Path, record: SegmentRecord, spec: CollectionSpec) -> Sealed:
        """Raises ValueError, OSError or IndexDamaged where a file is not what a segment of so many rows has, and
        UnknownField.
        """
        path = directory / SEGMENTS / record.name
        table = conformed(pa.ipc.open_file(pa.memory_map(str(path / ROWS))).read_all(), stored_schema(spec))
        if len(table) != record.rows:
            raise ValueError(f"{ROWS} has {len(table)} rows, expected {record.rows}")
        index = load_index(path, spec)
        if len(index.vectors) != record.rows:
            raise ValueError(f"the index has {len(index.vectors)} rows, expected {record.rows}")
        columns, texts = make_columns(table, spec), _texts(table, spec)
        return Sealed(record, index, table, SortedIds(table.column(ID)), columns, texts, spec)

    @property
    def vectors(self) -> Floats:
        return self.index.vectors

    @property
    def nbytes(self) -> int:
        """Of memory beside what the index takes."""
        return self.ids.nbytes + self.columns.nbytes

    def retune(self, spec: CollectionSpec) -> None:
        """Other search parameters, more fields, and other indexes of fields, while others read. The fields that they
        ask for are those of before.
        """
        self.index = self.index.retuned(spec)
        if spec.fields != self.spec.fields:
            self.table = conformed(self.table, stored_schema(spec))
            self.columns = make_columns(self.table, spec)
        if text_fields(spec) != text_fields(self.spec):
            self.texts = _texts(self.table, spec)
        self.spec = spec

    def find(self, wanted: Wanted) -> Rows:
        return self.ids.rows(wanted)

    def search(self, alive: Mask | None, queries: Floats, k: int, where: Filter, tuning: Tuning) -> Found:
        return search_segment(self.index, alive, self.columns, queries, k, where, tuning, self.spec.metric)

    def search_text(self, text: str, fields: tuple[str, ...], k: int, allowed: Mask | None) -> Found:
        return self.texts.search(text, fields, k, allowed)

    def mask(self, where: Filter) -> Mask:
        return self.columns.mask(where)

    def take(self, rows: Rows, columns: tuple[str, ...]) -> pa.RecordBatch:
        return rowset.take(self.table, self.vectors, rows, columns)

    @cached_property
    def whole_ids(self) -> Rows | None:
        return rowset.whole_ids(self.table)

    def ascending(self) -> Rows:
        return self.ids.ascending


def _texts(table: pa.Table, spec: CollectionSpec) -> TextIndex:
    texts = TextIndex(text_fields(spec))
    texts.add(table)
    return texts


class Blocks(Sequence[Floats]):
    """The vectors of some rows of each source, a block at a time: gathered when it is asked for, and not kept."""

    def __init__(self, sources: Sequence[tuple[Rowset, Rows]]) -> None:
        self._blocks = [
            (source, rows[start : start + BLOCK_ROWS])
            for source, rows in sources
            for start in range(0, len(rows), BLOCK_ROWS)
        ]

    def __len__(self) -> int:
        return len(self._blocks)

    @overload
    def __getitem__(self, at: int) -> Floats: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Floats]: ...

    def __getitem__(self, at: int | slice) -> Floats | Sequence[Floats]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        source, rows = self._blocks[at]
        contiguous = rows[-1] - rows[0] + 1 == len(rows)
        return source.vectors[rows[0] : rows[-1] + 1] if contiguous else source.vectors[rows]

    def __iter__(self) -> Iterator[Floats]:
        return (self[at] for at in range(len(self)))


def asked_of(spec: CollectionSpec) -> str:
    """What of an index's specification makes another index, not only another search."""
    return spec.index.model_dump_json(exclude=set(SEARCH_PARAMETERS))

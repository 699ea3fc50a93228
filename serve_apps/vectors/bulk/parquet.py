"""Rows of a Parquet file, streamed a row group after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused
from serve_apps.vectors.bulk.numbers import with_ids

BUFFER_BYTES = 1 << 20
"""Of each column, instead of all of it in a row group."""


class ParquetRows:
    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
        except pa.ArrowInvalid as error:
            raise ImportRefused(f"it is no Parquet file: {error}") from error
        self.names: tuple[str, ...] = tuple(self._file.schema_arrow.names)

    def count(self, columns: Mapping[str, str]) -> int:
        return int(self._file.metadata.num_rows)

    def read(self, columns: Mapping[str, str], spec: CollectionSpec, size: int, skip: int) -> Iterator[pa.Table]:
        groups, first = self._groups(skip)
        row = skip
        left = skip - first
        for batch in self._file.iter_batches(size, groups, list(columns), use_threads=False):
            if left >= len(batch):
                left -= len(batch)
                continue
            table = pa.Table.from_batches([batch.slice(left)]).select(list(columns))
            left = 0
            yield with_ids(table.rename_columns(list(columns.values())), spec, row)
            row += table.num_rows

    def _groups(self, skip: int) -> tuple[list[int], int]:
        """The row groups that have what follows the first `skip` rows, and how many rows there are before them."""
        before = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if before + count > skip:
                return list(range(group, self._file.num_row_groups)), before
            before += count
        return [], before

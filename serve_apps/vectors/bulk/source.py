"""Rows in files, read a batch at a time: what is in memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused

Rows: TypeAlias = "pa.Table | list[dict[str, Any]]"
"""As columns, or as the API's points."""


class Source(Protocol):
    """`names` are the file's columns, where they are known before its rows are read."""

    @property
    def names(self) -> Sequence[str] | None: ...

    def count(self, columns: Mapping[str, str]) -> int:
        """Rows. Raises ImportRefused."""
        ...

    def read(self, columns: Mapping[str, str], spec: CollectionSpec, size: int, skip: int) -> Iterator[Rows]:
        """Batches of `size` rows behind the first `skip`, under the collection's names. Raises ImportRefused."""
        ...


def open_source(path: Path) -> Source:
    """Raises ImportRefused, OSError."""
    # Each reader where it is needed: those of Parquet take long to import.
    path.stat()  # of a file that is not there each reader has words of its own
    match path.suffix.lower():
        case ".parquet" | ".pq":
            from serve_apps.vectors.bulk.parquet import ParquetRows

            return ParquetRows(path)
        case ".jsonl" | ".ndjson":
            from serve_apps.vectors.bulk.jsonl import JsonRows

            return JsonRows(path)
        case ".npy" | ".npz":
            from serve_apps.vectors.bulk.arrays import ArrayRows

            return ArrayRows(path)
    raise ImportRefused(f"found a file {path.name}; expected one that ends in .parquet, .jsonl, .npy or .npz")

"""The rows of a collection into a file that can be imported, a page at a time.

It is written beside its place and put there when it is whole: a crash leaves `.FILE.part`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from actors.vectors.rows import row_schema
from control.specs.collection import CollectionSpec
from serve_apps.vectors.batch import batch_of, measured
from serve_apps.vectors.bodies import Point
from serve_apps.vectors.client import Collection, spec_of
from serve_apps.vectors.limits import MOST_NUMBERS

PAGE_ROWS = 2_000


def export_rows(
    collection: Collection, where: Mapping[str, Any] | None, file: Path, told: Callable[[int], None]
) -> int:
    """How many there were. `told` hears of each page. Raises OSError, and what `Collection.scroll` does."""
    spec = spec_of(collection.describe())
    part = file.with_name(f".{file.name}.part")
    write = _parquet if file.suffix == ".parquet" else _lines
    rows = 0
    for count in write(part, spec, _pages(collection, where, spec)):
        rows += count
        told(count)
    part.replace(file)
    return rows


def _pages(
    collection: Collection, where: Mapping[str, Any] | None, spec: CollectionSpec
) -> Iterator[list[dict[str, Any]]]:
    limit = max(1, min(PAGE_ROWS, MOST_NUMBERS // spec.dimension))
    after = None
    while page := collection.scroll(where, after, limit, ["metadata", "vector"]):
        yield page
        after = page[-1]["id"]


def _lines(part: Path, spec: CollectionSpec, pages: Iterator[list[dict[str, Any]]]) -> Iterator[int]:
    with part.open("wb") as out:
        for page in pages:
            out.write(msgspec.json.Encoder().encode_lines(page))
            yield len(page)


def _parquet(part: Path, spec: CollectionSpec, pages: Iterator[list[dict[str, Any]]]) -> Iterator[int]:
    with pq.ParquetWriter(part, row_schema(spec), compression="zstd") as out:
        for page in pages:
            points = msgspec.convert(page, list[Point])
            vectors = measured([point.vector for point in points], spec, lambda row: f"points[{row}].vector")  # type: ignore[misc]
            out.write_batch(batch_of(points, vectors, spec).rows)
            yield len(page)

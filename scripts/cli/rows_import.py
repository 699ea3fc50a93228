"""The work of `biplane vectors import`: each file checked, or sent and its receipt kept beside the plane's state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from actors.vectors.rows import ID, VECTOR
from control.kernel.home import Home
from control.specs.collection import CollectionSpec
from serve_apps.gateway.errors import ApiError
from serve_apps.vectors.bulk.check import check_rows
from serve_apps.vectors.bulk.columns import ImportRefused, columns_of
from serve_apps.vectors.bulk.importing import Importing, in_the_file
from serve_apps.vectors.bulk.receipt import ImportReceipt, digest_of, load_receipt, receipt_path
from serve_apps.vectors.bulk.source import Source, open_source
from serve_apps.vectors.client import Collection, spec_of

Columns = dict[str, str]
Told = Callable[[int], None]


@dataclass(frozen=True)
class Wanted:
    """How the columns of the files are called, and how many rows go at once."""

    id: str | None
    vector: str | None
    renames: dict[str, str]
    batch: int


@dataclass(frozen=True)
class Done:
    """`rows` are those that were sent now, or checked; `before` those that an earlier import had acknowledged."""

    file: str
    rows: int
    before: int
    seconds: float


def imported(
    file: Path, collection: Collection, wanted: Wanted, progress: Progress, *, resume: bool, dry_run: bool
) -> Done:
    """Raises ImportRefused, which names the file, OSError, and what the collection raises."""
    spec = spec_of(collection.describe())
    try:
        source = open_source(file)
        columns = _columns(source.names, spec, wanted)
        total = source.count(columns)
        task = progress.add_task(file.name, total=total)
        if dry_run:
            return _checked(file, source, columns, spec, wanted, lambda count: progress.advance(task, count))
        return _sent(file, source, columns, spec, wanted, collection, resume, lambda n: progress.advance(task, n))
    except ImportRefused as error:
        raise ImportRefused(f"{file}: {error}") from error


def _sent(
    file: Path, source: Source, columns: Columns, spec: CollectionSpec, wanted: Wanted, collection: Collection,
    resume: bool, told: Told,
) -> Done:  # fmt: skip
    began, digest = time.monotonic(), digest_of(file)
    path = receipt_path(Home.find().path / "imports", collection.name, file)
    receipt = _resumed(path, digest, collection) if resume else ImportReceipt(digest, 0)
    told(receipt.rows)
    importing = Importing(collection, receipt, path, told)
    try:
        importing.run(source, columns, spec, wanted.batch)
    except ImportRefused as error:
        before = importing.receipt.rows
        kept = f"the first {before:,} rows are imported" if before else "no row before it is imported"
        raise ImportRefused(f"{error}; {kept}") from error
    return Done(str(file), importing.receipt.rows - receipt.rows, receipt.rows, time.monotonic() - began)


def _checked(file: Path, source: Source, columns: Columns, spec: CollectionSpec, wanted: Wanted, told: Told) -> Done:
    began, row = time.monotonic(), 0
    for rows in source.read(columns, spec, wanted.batch, 0):
        try:
            check_rows(rows, spec)
        except ApiError as error:
            raise ImportRefused(in_the_file(str(error), row)) from error
        row += len(rows)
        told(len(rows))
    return Done(str(file), row, 0, time.monotonic() - began)


def _resumed(path: Path, digest: str, collection: Collection) -> ImportReceipt:
    """Raises ImportRefused where what was imported is not what this file and this collection have."""
    receipt = load_receipt(path)
    if receipt is None:
        return ImportReceipt(digest, 0)
    if receipt.sha256 != digest:
        raise ImportRefused("it is not the file that was imported before; without --resume it is imported whole")
    if receipt.last is not None and not collection.fetch([receipt.last], []):
        found = f"the collection has no row {receipt.last!r}, the last of {receipt.rows:,} that were imported"
        raise ImportRefused(f"{found}: was it made anew? Without --resume the file is imported whole")
    return receipt


def _columns(names: Sequence[str] | None, spec: CollectionSpec, wanted: Wanted) -> Columns:
    if names is not None:
        return columns_of(names, spec, wanted.id, wanted.vector, wanted.renames)
    own = {ID: wanted.id, VECTOR: wanted.vector}
    return {**wanted.renames, **{column: target for target, column in own.items() if column is not None}}

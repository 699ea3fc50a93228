"""`biplane vectors import` and `export`: many rows out of files, and into them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from scripts.cli import show
from scripts.cli.app import DryRun, Json
from scripts.cli.vectors import Collection, vectors
from scripts.cli.vectors_api import FilterJson, KeyFile, Url, api, filter_of, wrong


@vectors.command(name="import")
def import_files(
    name: Collection,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Parquet, .jsonl, .npy or .npz.")],
    id: Annotated[str | None, typer.Option(metavar="COLUMN", help="The ids; without them rows have numbers.")] = None,
    vector: Annotated[str | None, typer.Option(metavar="COLUMN", help="The vectors, where not 'vector'.")] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=FIELD", help="Another name; COLUMN= leaves it out. May be given more than once."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Rows that are sent at once.", min=1, max=10_000)] = 1000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an import of the same files ended.")] = False,
    dry_run: DryRun = False,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Write all rows of files. Example: biplane vectors import articles rows.parquet --id doc_id --vector embedding

    A row whose id is there already takes its place, so an import may be repeated. --dry-run reads the files to their
    ends and says what would be refused.
    """
    from scripts.cli.rows_import import Wanted, imported

    wanted = Wanted(id, vector, _renames(map or []), batch)
    with api(url, key_file) as reached, _progress(quiet=json) as progress:
        collection = reached.collection(name)
        done = [imported(file, collection, wanted, progress, resume=resume, dry_run=dry_run) for file in files]
    if json:
        show.emit({"collection": name, "dry_run": dry_run, "files": [asdict(one) for one in done]})
        return
    for one in done:
        rate = f", {one.rows / one.seconds:,.0f} rows/s" if one.seconds else ""
        before = f" behind {one.before:,} that were there" if one.before else ""
        said = "would be imported" if dry_run else "imported"
        show.out.print(f"{one.file}: {one.rows:,} rows {said}{before} in {one.seconds:.1f} s{rate}", markup=False)


@vectors.command()
def export(
    name: Collection,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="It ends in .parquet or .jsonl.")],
    filter: FilterJson = None,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Write the rows into a file that can be imported. Example: biplane vectors export articles rows.parquet

    Rows that are written meanwhile may be in it or not. For all of a large collection see: biplane vectors snapshot
    """
    from serve_apps.vectors.bulk.exporting import export_rows

    if file.suffix not in (".parquet", ".jsonl"):
        wrong("FILE", f"found {file.name}; expected one that ends in .parquet or .jsonl")
    with api(url, key_file) as reached, _progress(quiet=json) as progress:
        collection = reached.collection(name)
        where = filter_of(filter)
        task = progress.add_task(file.name, total=collection.count(where))
        rows = export_rows(collection, where, file, lambda count: progress.advance(task, count))
    if json:
        show.emit({"collection": name, "file": str(file), "rows": rows})
        return
    show.out.print(f"{rows:,} rows of {name} written to {file}", markup=False)


def _renames(given: list[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            wrong("--map", f"found {one!r}; expected COLUMN=FIELD")
    return {one.partition("=")[0]: one.partition("=")[2] for one in given}


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


def _progress(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=show.progress,
        disable=quiet,
        transient=True,
    )

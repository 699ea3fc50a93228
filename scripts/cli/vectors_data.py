"""The commands about the rows of a collection: `biplane vectors search`, `upsert`, `count` and others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli import points, show
from scripts.cli.app import DryRun, Json
from scripts.cli.vectors import Collection, vectors
from scripts.cli.vectors_api import FilterJson, KeyFile, Url, api, document, filter_of, ids_of, wrong

MOST_IN_A_REQUEST = 1_000
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Of rows.")]
Points = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="JSON: a list, or an object a line; else standard input.")
]
Include = Annotated[
    list[str] | None, typer.Option(metavar="metadata|vector", help="What is shown; may be given more than once.")
]


@vectors.command()
def search(
    name: Collection,
    vector: Annotated[
        str | None, typer.Option(metavar="JSON", help="[0.1, ...], or several in a list; @FILE reads a file.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Of which the collection makes the vector.")] = None,
    hybrid: Annotated[str | None, typer.Option(metavar="TEXT", help="Words that text fields should have, too.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many are found.", min=1)] = 10,
    filter: FilterJson = None,
    include: Include = None,
    exact: Annotated[bool, typer.Option("--exact", help="Measure every row, without an index.")] = False,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """The nearest rows. Example: biplane vectors search articles --text "how do I start?" -k 3"""
    near: Any = None if vector is None else document("--vector", vector)
    several = isinstance(near, list) and bool(near) and isinstance(near[0], list)
    asked: dict[str, Any] = {"filter": filter_of(filter), "include": include or ["metadata"]}
    asked |= {"hybrid": {"text": hybrid}} if hybrid else {}
    asked |= {"tuning": {"exact": True}} if exact else {}
    with api(url, key_file) as reached:
        collection = reached.collection(name)
        given = {"vectors": near} if several else {"vector": near}
        found = collection.search(**given, text=text, k=k, **asked)
    points.hits(found, json=json)


@vectors.command()
def fetch(
    name: Collection,
    ids: Ids = None,
    include: Include = None,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Rows by their ids. Example: biplane vectors fetch articles a17 a18 --include vector"""
    with api(url, key_file) as reached:
        collection = reached.collection(name)
        wanted = ids_of(ids or [], collection.describe()["ids"])
        found = collection.fetch(wanted, include or ["metadata"])
    points.listed(found, json=json)


@vectors.command()
def upsert(
    name: Collection,
    file: Points = None,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Write a few rows. Example: echo '{"id": "a1", "vector": [1, 0]}' | biplane vectors upsert articles

    Many rows are faster by: biplane vectors import
    """
    with api(url, key_file) as reached:
        given, collection = _points(file), reached.collection(name)
        done = sum(map(collection.upsert, _requests(given)))
    show.done(f"{done} rows written to {name}", json=json)


@vectors.command()
def update(
    name: Collection,
    file: Points = None,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Change fields of rows. Example: echo '{"id": "a1", "metadata": {"n": 5}}' | biplane vectors update articles

    null takes a value away. Rows that there are not are not made.
    """
    with api(url, key_file) as reached:
        given, collection = _points(file), reached.collection(name)
        done = sum(map(collection.update, _requests(given)))
    show.done(f"{done} of {len(given)} rows changed in {name}", json=json)


@vectors.command()
def remove(
    name: Collection,
    ids: Ids = None,
    filter: FilterJson = None,
    dry_run: DryRun = False,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Delete rows. Example: biplane vectors remove articles --filter '{"year": {"$lt": 2000}}' --dry-run

    An empty filter, '{}', is all of them. The collection itself goes by: biplane vectors delete
    """
    where = filter_of(filter)
    if bool(ids) == (where is not None):
        wrong("ID", "found both ids and --filter" if ids else "found neither ids nor --filter")
    with api(url, key_file) as reached:
        collection = reached.collection(name)
        wanted = ids_of(ids or [], collection.describe()["ids"])
        there = len(collection.fetch(wanted, [])) if where is None else collection.count(where)
        if not dry_run:
            there = collection.delete(wanted, where) or there
    if json:
        return show.emit({"dry_run": dry_run, "collection": name, "rows": there})
    show.out.print(f"{there} rows of {name} {'would be deleted' if dry_run else 'deleted'}")
    return None


@vectors.command()
def count(
    name: Collection, filter: FilterJson = None, url: Url = None, key_file: KeyFile = None, json: Json = False
) -> None:
    """How many rows there are, or match. Example: biplane vectors count articles --filter '{"year": 2024}'"""
    with api(url, key_file) as reached:
        found = reached.collection(name).count(filter_of(filter))
    if json:
        return show.emit({"collection": name, "count": found})
    show.out.print(f"{found}")
    return None


@vectors.command()
def scroll(
    name: Collection,
    filter: FilterJson = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Rows behind this one, by id.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 20,
    include: Include = None,
    url: Url = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Rows in the order of their ids. Example: biplane vectors scroll articles --limit 5

    All of them into a file: biplane vectors export
    """
    with api(url, key_file) as reached:
        collection = reached.collection(name)
        behind = None if after is None else ids_of([after], collection.describe()["ids"])[0]
        found = collection.scroll(filter_of(filter), behind, limit, include or ["metadata"])
    points.listed(found, json=json)


def _requests(given: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (given[at : at + MOST_IN_A_REQUEST] for at in range(0, len(given), MOST_IN_A_REQUEST))


def _points(file: Path | None) -> list[dict[str, Any]]:
    import msgspec

    text = (sys.stdin.buffer.read() if file is None else file.read_bytes()).strip()
    if not text.startswith(b"["):
        text = b"[" + b",".join(line for line in text.splitlines() if line.strip()) + b"]"
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]]) or wrong("FILE", "found no rows")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wrong("FILE", f"no rows as JSON, a list or an object a line: {error}")

"""The commands about collections of vectors: `biplane vectors …`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
import yaml

from control.client import Client
from control.specs.collection import MINILM_DIMENSION, Acknowledgement, IdType, Metric
from control.specs.document import Document
from control.specs.load import load_text
from control.specs.problem import Problem, SpecError
from control.specs.vector_index import Device, IndexKind
from scripts.cli import collections, show
from scripts.cli.app import DryRun, Json, _explained, app

vectors = typer.Typer(
    name="vectors",
    help="Collections of vectors, and their rows. Example: biplane vectors list",
    no_args_is_help=True,
)
app.add_typer(vectors)


def complete(incomplete: str) -> list[str]:
    """Collections that begin so; none where there is no plane."""
    client = Client()
    return [o.name for o in client.get("Collection") if o.name.startswith(incomplete)] if client.exists else []


Collection = Annotated[
    str, typer.Argument(metavar="NAME", help="The collection's, for example articles.", autocompletion=complete)
]


@vectors.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What clients ask for, for example articles.")],
    dimension: Annotated[int | None, typer.Option(help="Numbers in each vector.", min=1)] = None,
    metric: Annotated[Metric, typer.Option(help="How near two vectors are.")] = "cosine",
    ids: Annotated[IdType, typer.Option(help="What rows are called by.")] = "string",
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:TYPE",
            help="A metadata field; TYPE[] for many values, TYPE! without an index. May be given more than once.",
        ),
    ] = None,
    shards: Annotated[int, typer.Option(help="Parts that the rows are shared among.", min=1)] = 1,
    replicas: Annotated[int, typer.Option(help="How often each is kept.", min=1)] = 1,
    acknowledge: Annotated[Acknowledgement, typer.Option(help="Who has a write on disk when it is done.")] = "quorum",
    index: Annotated[IndexKind, typer.Option(help="What searches sealed segments.")] = "auto",
    device: Annotated[Device, typer.Option(help="Where it is searched.")] = "cpu",
    embed: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Rows and queries without a vector get that of this text field's text."),
    ] = None,
    model: Annotated[str, typer.Option(help="What embeds: minilm, or a deployment.")] = "minilm",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a collection. Example: biplane vectors create articles --dimension 384 --field year:integer --replicas 3

    The same as a file of kind Collection with biplane apply -f, which says more: examples/collection.yaml.
    """
    if dimension is None and embed is not None and model == "minilm":
        dimension = MINILM_DIMENSION
    spec = {
        "dimension": dimension,
        "metric": metric,
        "ids": ids,
        "fields": [_field(one) for one in field or ()],
        "shards": shards,
        "replicas": replicas,
        "acknowledge": acknowledge,
        "index": {"kind": index, "device": device},
        **({"embedding": {"field": embed, "model": model}} if embed is not None else {}),
    }
    with _explained():
        client = Client()
        given = {key: value for key, value in spec.items() if value is not None}
        document = document_of(name, given, "biplane vectors create")
        if client.exists and any(o.name == name for o in client.get("Collection")):
            found = f"there is a collection {name!r} already"
            raise SpecError([Problem("biplane vectors create", 1, "metadata.name", found, "another name")])
        result = client.apply([document], dry_run=dry_run)
    show.applied(result, dry_run=dry_run, json=json)


@vectors.command(name="list")
def list_collections(json: Json = False) -> None:
    """All collections: rows, shards, replicas, how each is. Example: biplane vectors list"""
    with _explained():
        client = Client()
        found = client.get("Collection")
        reports = collections.reports_of(client)
    collections.listed(found, reports, json=json)


@vectors.command()
def describe(name: Collection, json: Json = False) -> None:
    """Its shards, leaders, replicas, rows, segments and builds. Example: biplane vectors describe articles"""
    with _explained():
        client = Client()
        (found,) = client.get("Collection", name.removeprefix("collection/"))
        reports = collections.reports_of(client)
    collections.described(found, reports, json=json)


@vectors.command()
def delete(
    name: Collection,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Delete a collection with all its rows. Example: biplane vectors delete articles --yes"""
    name = name.removeprefix("collection/")
    with _explained():
        client = Client()
        (found,) = client.get("Collection", name)
        rows = collections.rows_of(found, collections.reports_of(client))
        if not (yes or dry_run):
            typer.confirm(f"Delete {name} with its {rows:,} rows?", abort=True, err=True)
        client.delete("Collection", name, dry_run=dry_run)
    show.deleted("Collection", name, dry_run=dry_run, json=json)


def _field(text: str) -> dict[str, object]:
    name, _, kind = text.partition(":")
    told: dict[str, object] = {"name": name, "type": kind.removesuffix("!").removesuffix("[]")}
    if kind.removesuffix("!").endswith("[]"):
        told["many"] = True
    return {**told, "index": False} if kind.endswith("!") else told


def document_of(name: str, spec: Mapping[str, object], source: str) -> Document:
    """As a file would say it, so that what is wrong with it is told in the same words. `source` stands for the file."""
    body = {"apiVersion": "biplane/v1", "kind": "Collection", "metadata": {"name": name}, "spec": dict(spec)}
    (document,) = load_text(yaml.safe_dump(body, sort_keys=False), source)
    return document

"""`biplane vectors snapshot`, `restore` and `optimise`: for those who run the plane, so they ask its actors by Ray.

What that needs is imported when a command does: the others do without.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from control.client import Client, NotFound
from control.kernel.ids import TABLE_KIND, VECTORS_TABLE
from control.preflight import Refused
from control.specs.collection import CollectionSpec
from control.specs.problem import Problem, SpecError
from scripts.cli import show
from scripts.cli.app import DryRun, Json, _explained
from scripts.cli.vectors import Collection, document_of, vectors

if TYPE_CHECKING:
    from actors.vectors.scatter import Shards
    from actors.vectors.snapshot import Snapshot

Result = TypeVar("Result")
Where = Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/path, file:///path, or what fsspec has else.")]


@vectors.command()
def snapshot(
    name: Collection,
    url: Where,
    timeout: Annotated[float, typer.Option(help="Seconds that it may take at most.")] = 3600.0,
    json: Json = False,
) -> None:
    """Copy a collection to a URL, while it serves. Example: biplane vectors snapshot articles s3://backup/articles-1

    Each shard is copied as it is when its turn comes: what was acknowledged before is in it. Credentials come from the
    environment of the plane and of this command.
    """
    from actors.vectors.snapshot_taking import take

    with _told():
        taken = _asked(lambda shards: take(shards, name, url, timeout))
    _show(taken, url, "copied to", json=json)


@vectors.command()
def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new collection.")],
    url: Where,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a collection that begins with the rows of a snapshot. Example: biplane vectors restore again s3://backup/a-1

    It is as the snapshot's was: shards, replicas, index. Follow it with: biplane vectors describe NAME
    """
    from actors.vectors.snapshot import SnapshotError
    from actors.vectors.snapshot_place import SnapshotPlace

    with _told():
        client, place = Client(), SnapshotPlace(url)
        found = place.read()
        if missing := list(place.missing(found.shards)):
            raise SnapshotError(f"the snapshot at {url} is not whole: {', '.join(missing[:3])}")
        if client.exists:
            _look_for(name, client, found.spec)
        spec = {**found.spec.model_dump(mode="json"), "restore": {"url": url, "sha256": found.sha256}}
        client.apply([document_of(name, spec, "biplane vectors restore")], dry_run=dry_run)
    _show(found, url, "would be restored from" if dry_run else f"are being restored into {name} from", json=json)


@vectors.command()
def optimise(name: Collection, json: Json = False) -> None:
    """Have each replica make one segment of all its rows, in the background. Example: biplane vectors optimise articles

    Searches are fastest then. It takes as long as building the index of all rows; biplane vectors describe shows it.
    """
    with _told():
        silent = _asked(lambda shards: shards.optimise(name))
        if silent:
            told = "; ".join(f"{actor}: {why}" for actor, why in silent.items())
            raise Refused(f"{len(silent)} replicas do not answer, the others have begun: {told}")
    show.done(f"the replicas of {name} make one segment each", json=json)


@contextmanager
def _told() -> Iterator[None]:
    from actors.vectors.answers import Unanswered, UnknownCollection
    from actors.vectors.snapshot import SnapshotError

    with _explained():
        try:
            yield
        except UnknownCollection as error:
            raise NotFound(str(error)) from error
        except (SnapshotError, Unanswered) as error:
            raise Refused(str(error)) from error


def _asked(story: Callable[[Shards], Awaitable[Result]]) -> Result:
    """What the story comes to, with the shards of this plane."""
    client = Client()
    settings = client.settings

    def table() -> dict[str, object] | None:
        found = client.store.get(TABLE_KIND, VECTORS_TABLE)
        return None if found is None else dict(found.spec)

    os.environ.update(client.environment())
    import ray

    from actors.vectors.ray_calls import NAMESPACE, RayCalls
    from actors.vectors.scatter import Shards

    async def play() -> Result:
        return await story(Shards(table, RayCalls()))

    ray.init(address=settings.ray_address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    try:
        return asyncio.run(play())
    finally:
        ray.shutdown()


def _look_for(name: str, client: Client, spec: CollectionSpec) -> None:
    """Raises SpecError where there is such a collection: its rows would not be replaced."""
    from actors.vectors.snapshot import differences

    for one in client.get("Collection"):
        if one.name == name:
            wrong = differences(spec, CollectionSpec.model_validate(one.spec["spec"]))
            found = f"there is a collection {name!r} already" + (
                f", and of another schema: {'; '.join(wrong)}" if wrong else ""
            )
            raise SpecError([Problem("biplane vectors restore", 1, "metadata.name", found, "another name")])


def _show(found: Snapshot, url: str, said: str, *, json: bool) -> None:
    if json:
        facts = {"collection": found.collection, "taken": found.taken, "biplane": found.biplane, "url": url}
        sizes = {"rows": found.rows, "bytes": found.nbytes, "shards": len(found.shards), "sha256": found.sha256}
        return show.emit({**facts, **sizes})
    size = f"{found.nbytes / 1e6:,.1f} MB"
    show.out.print(f"{found.rows:,} rows of {found.collection} ({size}) {said} {url}", markup=False)
    show.out.print(f"sha256 {found.sha256}", markup=False)
    return None

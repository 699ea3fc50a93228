"""`biplane vectors snapshot`, `restore` and `optimise`, with real replicas called without Ray."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from actors.vectors.scatter import Shards
from control.kernel.home import HOME_VARIABLE
from control.specs.collection import CollectionSpec
from scripts.cli import vectors_snapshots
from scripts.cli.app import BAD_INPUT, FAILED, NO_PLANE, NOT_FOUND
from scripts.cli.vectors import vectors
from tests.fakes.home import started
from tests.fakes.plane import Plane
from tests.fakes.vector_plane import VectorPlane
from tests.fakes.vector_rows import batch_of, spec_of

SPEC = CollectionSpec.model_validate({**spec_of("flat").model_dump(mode="json"), "shards": 2})


@pytest.fixture(autouse=True)
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """A plane on which the collection `articles` has 30 rows."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")

    def asked(story: Callable[[Shards], Awaitable[Any]]) -> Any:
        async def play() -> Any:
            shards = VectorPlane(tmp_path / "shards")
            try:
                await shards.create("articles", SPEC)
                rows = batch_of(SPEC, [(one, ([float(one), 0.0, 1.0], 2000, "red")) for one in range(30)])
                await shards.shards.upsert("articles", rows)
                return await story(shards.shards)
            finally:
                await shards.close()

        return asyncio.run(play())

    monkeypatch.setattr(vectors_snapshots, "_asked", asked)
    return started(tmp_path / "home")


def biplane(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(vectors, words)
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/snapshot"


def test_a_snapshot_is_taken_and_a_collection_made_of_it(plane: Plane, url: str) -> None:
    told = json.loads(biplane("snapshot", "articles", url, "--json").stdout)
    assert (told["rows"], told["shards"], told["collection"]) == (30, 2, "articles")
    assert (
        f"30 rows of articles (0.0 MB) are being restored into again from {url}"
        in biplane("restore", "again", url).stdout
    )
    (made,) = plane.store.list("Collection")
    spec = CollectionSpec.model_validate(made.spec["spec"])
    assert spec.restore is not None
    assert (spec.restore.url, spec.restore.sha256) == (url, told["sha256"])
    assert spec.model_copy(update={"restore": None}) == SPEC


def test_a_dry_run_restores_nothing(plane: Plane, url: str) -> None:
    biplane("snapshot", "articles", url)
    assert "would be restored from" in biplane("restore", "again", url, "--dry-run").stdout
    assert plane.store.list("Collection") == ()


def test_a_second_snapshot_needs_another_place(url: str) -> None:
    biplane("snapshot", "articles", url)
    assert "there is a snapshot at" in biplane("snapshot", "articles", url, code=FAILED).stderr


def test_a_collection_that_is_there_is_not_restored_over(plane: Plane, url: str) -> None:
    biplane("snapshot", "articles", url)
    biplane("restore", "again", url)
    told = biplane("restore", "again", url, code=BAD_INPUT).stderr
    assert "there is a collection 'again' already; expected another name" in told
    biplane("create", "other", "--dimension", "4", "--metric", "l2", "--ids", "integer", "--shards", "2")
    told = biplane("restore", "other", url, code=BAD_INPUT).stderr
    assert "there is a collection 'other' already, and of another schema: dimension: the snapshot has 3" in told
    assert "fields.colour: the snapshot has keyword, the collection no such field" in told


def test_a_snapshot_that_lacks_a_file_is_not_begun_with(plane: Plane, url: str) -> None:
    biplane("snapshot", "articles", url)
    gone = next(Path(url.removeprefix("file://")).rglob("manifest-*.json"))
    gone.unlink()
    told = biplane("restore", "again", url, code=FAILED).stderr
    assert "is not whole" in told
    assert gone.name in told
    assert plane.store.list("Collection") == ()


@pytest.mark.parametrize("words", [("snapshot", "article"), ("optimise", "article")])
def test_a_collection_that_is_not_there_is_told(url: str, words: tuple[str, ...]) -> None:
    more = (url,) if words[0] == "snapshot" else ()
    assert "found no collection 'article': there are articles" in biplane(*words, *more, code=NOT_FOUND).stderr


def test_replicas_are_asked_for_one_segment() -> None:
    assert "make one segment each" in biplane("optimise", "articles").stdout


def test_without_a_plane_there_is_nothing_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nowhere"))
    biplane("snapshot", "articles", url, code=NO_PLANE)

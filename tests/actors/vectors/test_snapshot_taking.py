"""A collection goes to a URL and comes back from it, whole or not at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from actors.vectors.answers import Unanswered
from actors.vectors.query import Level
from actors.vectors.replication import upkeep
from actors.vectors.replication.errors import Degraded
from actors.vectors.snapshot import Snapshot, SnapshotError
from actors.vectors.snapshot_place import SnapshotPlace
from actors.vectors.snapshot_taking import take
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_plane import VectorPlane, restoring
from tests.fakes.vector_rows import COLUMNS, batch_of, spec_of

Story = Callable[[VectorPlane], Awaitable[None]]
SECONDS = 20.0


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    async def play() -> None:
        plane = VectorPlane(tmp_path / "home")
        try:
            await story(plane)
        finally:
            await plane.close()

    monkeypatch.setattr(upkeep, "RESTORE_SECONDS", 0.05)
    asyncio.run(play())


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    return lambda story: played(tmp_path, monkeypatch, story)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/snapshots/one"


def spec(**changes: Any) -> CollectionSpec:
    body = spec_of("flat").model_dump(mode="json")
    return CollectionSpec.model_validate({**body, "shards": 2, **changes})


def rows(spec: CollectionSpec, *numbers: int) -> pa.RecordBatch:
    return batch_of(spec, [(one, ([float(one), 0.0, 1.0], 2000 + one, "red")) for one in numbers])


async def contents(plane: VectorPlane, name: str) -> list[dict[str, Any]]:
    found = await plane.shards.scroll(name, EVERYTHING, None, 1000, COLUMNS, Level.QUORUM, seconds=SECONDS)
    return found.to_pylist()  # type: ignore[no-any-return]


async def filled(plane: VectorPlane, name: str = "articles", **changes: Any) -> CollectionSpec:
    """Rows 0 to 59 in sealed, growing and dead parts, without 10 to 19."""
    made = spec(**changes)
    await plane.create(name, made)
    await plane.shards.upsert(name, rows(made, *range(40)))
    await plane.shards.optimise(name)
    machines = [one._core.machine for one in plane.replicas.values()]
    await asyncio.gather(*(one.background(one.shard.flush) for one in machines))
    await plane.shards.delete(name, pa.array(range(10, 20)))
    await plane.shards.upsert(name, rows(made, *range(40, 60)))
    return made


def test_a_restored_collection_has_the_rows_of_the_snapshot_and_takes_writes(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        made = await filled(plane)
        snapshot = await take(plane.shards, "articles", url, SECONDS)
        assert (snapshot.rows, len(snapshot.shards), snapshot.collection) == (50, 2, "articles")
        await plane.shards.delete("articles", pa.array([0]))
        await plane.create("again", restoring(made, url, snapshot.sha256, replicas=1))
        before = await contents(plane, "again")
        assert [row["id"] for row in before] == [*range(10), *range(20, 60)]
        assert before[1:] == await contents(plane, "articles")
        first = await plane.shards.upsert("again", rows(made, 1000))
        second = await plane.shards.delete("again", pa.array([5]))
        tokens = {**first.tokens, **second.tokens}
        assert await plane.shards.count("again", EVERYTHING, tokens=tokens, seconds=SECONDS) == 50

    play(story)


def test_every_replica_begins_with_the_same_rows_and_keeps_them_when_it_starts_again(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        made = await filled(plane)
        snapshot = await take(plane.shards, "articles", url, SECONDS)
        again = restoring(made, url, snapshot.sha256, shards=2, replicas=3)
        await plane.create("again", again)
        await plane.shards.upsert("again", rows(made, 1000), "all")
        fsspec.filesystem("file").rm(url, recursive=True)
        for actor in [one for one in plane.replicas if one.startswith("vectors:again")]:
            await plane.end(actor)
            plane.start(actor, again)
        total = 0
        for actor, replica in plane.replicas.items():
            if actor.startswith("vectors:again") and actor.endswith(":2"):
                async with asyncio.timeout(SECONDS):
                    while replica._core.machine.applied.value < 2:
                        await asyncio.sleep(0.01)
                total += replica._core.machine.shard.view.count(EVERYTHING)
        assert total == 51

    play(story)


def test_a_replica_that_comes_when_the_snapshot_is_gone_gets_the_rows_from_another(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        made = await filled(plane, shards=1)
        snapshot = await take(plane.shards, "articles", url, SECONDS)
        again = restoring(made, url, snapshot.sha256, replicas=3)
        await plane.create("again", again)
        await plane.shards.upsert("again", rows(made, 1000), "all")
        assert await plane.shards.count("again", EVERYTHING, Level.QUORUM, seconds=SECONDS) == 51
        fsspec.filesystem("file").rm(url, recursive=True)
        actor = "vectors:again:12345678:0:2"
        shutil.rmtree(await plane.end(actor))
        plane.start(actor, again)
        async with asyncio.timeout(SECONDS):
            while plane.replicas[actor]._core.machine.lacks:
                await asyncio.sleep(0.01)
        await plane.shards.upsert("again", rows(made, 1001), "all")
        async with asyncio.timeout(SECONDS):
            while plane.replicas[actor]._core.machine.shard.view.count(EVERYTHING) != 52:
                await asyncio.sleep(0.01)

    play(story)


def test_until_its_rows_are_there_a_collection_takes_writes_and_answers_nothing(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        made = await filled(plane, shards=1)
        snapshot = await take(plane.shards, "articles", url, SECONDS)
        files = fsspec.filesystem("file")
        files.mv(url, url + "-away", recursive=True)
        await plane.create("again", restoring(made, url, snapshot.sha256))
        written = await plane.shards.upsert("again", rows(made, 1000))
        with pytest.raises(Unanswered, match="restored"):
            await plane.shards.count("again", EVERYTHING, seconds=0.6)
        files.mv(url + "-away", url, recursive=True)
        assert await plane.shards.count("again", EVERYTHING, tokens=written.tokens, seconds=SECONDS) == 51

    play(story)


def test_a_shard_that_is_being_restored_gives_no_copy_of_itself(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        await plane.create("again", restoring(spec(shards=1), url, "0" * 64))
        with pytest.raises(Degraded, match="restored"):
            await plane.replicas["vectors:again:12345678:0:0"]._core.copies.begin()

    play(story)


def test_snapshots_in_the_memory_of_a_process_work_like_any_other(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        made = await filled(plane)
        snapshot = await take(plane.shards, "articles", "memory://snapshots/one", SECONDS)
        await plane.create("again", restoring(made, "memory://snapshots/one", snapshot.sha256))
        assert len(await contents(plane, "again")) == 50

    play(story)


def test_a_snapshot_is_never_written_over(play: Any, url: str) -> None:
    async def story(plane: VectorPlane) -> None:
        await filled(plane)
        first = await take(plane.shards, "articles", url, SECONDS)
        with pytest.raises(SnapshotError, match=r"there is a snapshot at .* already"):
            await take(plane.shards, "articles", url, SECONDS)
        assert SnapshotPlace(url).read() == first

    play(story)


def test_files_of_something_else_are_left_alone(play: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    async def story(plane: VectorPlane) -> None:
        await filled(plane)
        with pytest.raises(SnapshotError, match=r"found .*thesis\.tex.*expected nothing there yet"):
            await take(plane.shards, "articles", f"file://{tmp_path}", SECONDS)

    play(story)


def reason(spec: CollectionSpec, url: str, sha256: str, tmp_path: Path) -> str:
    """Why a replica cannot begin with the snapshot."""
    from actors.vectors.snapshot_shard import restore

    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(SnapshotError) as caught:
        restore(restoring(spec, url, sha256), "vectors:again:12345678:0:0", target)
    return str(caught.value)


def taken(play: Any, url: str) -> tuple[CollectionSpec, Snapshot]:
    told: list[tuple[CollectionSpec, Snapshot]] = []

    async def story(plane: VectorPlane) -> None:
        made = await filled(plane)
        told.append((made, await take(plane.shards, "articles", url, SECONDS)))

    play(story)
    return told[0]


def test_a_snapshot_that_was_not_finished_is_refused_with_what_is_missing(play: Any, url: str, tmp_path: Path) -> None:
    made, snapshot = taken(play, url)
    files = fsspec.filesystem("file")
    files.rm(f"{url}/collection.json")
    files.rm(f"{url}/shard-1", recursive=True)
    told = reason(made, url, snapshot.sha256, tmp_path)
    assert "was not finished: missing are collection.json, 1 of 2 shards" in told


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_refused_by_its_name(play: Any, url: str, tmp_path: Path, damage: str) -> None:
    made, snapshot = taken(play, url)
    file = snapshot.shards[0].files[0]
    path = Path(f"{url.removeprefix('file://')}/{snapshot.shards[0].place}/{file.path}")
    body = path.read_bytes()
    changed = {"cut": body[:-1], "flipped": body[:-1] + bytes([body[-1] ^ 1])}.get(damage)
    path.write_bytes(changed) if changed is not None else path.unlink()
    assert path.name in reason(made, url, snapshot.sha256, tmp_path)


def test_another_snapshot_than_was_meant_is_refused(play: Any, url: str, tmp_path: Path) -> None:
    made, _ = taken(play, url)
    assert "it is another one than was meant" in reason(made, url, "0" * 64, tmp_path)


def test_a_snapshot_of_another_schema_is_refused_with_the_field(play: Any, url: str, tmp_path: Path) -> None:
    made, snapshot = taken(play, url)
    other = made.model_copy(update={"dimension": 4})
    told = reason(other, url, snapshot.sha256, tmp_path)
    assert "another schema: dimension: the snapshot has 3, the collection 4" in told


def test_where_there_is_nothing_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="there is no snapshot at"):
        SnapshotPlace(f"file://{tmp_path}/nothing").read()
    with pytest.raises(SnapshotError, match="smoke://x cannot be used"):
        SnapshotPlace("smoke://x")
    with pytest.raises(SnapshotError, match="found backup/one, which each machine has elsewhere; expected a URL"):
        SnapshotPlace("backup/one")

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyarrow as pa
import pytest

from actors.vectors.answers import Failed, Unanswered
from control.specs.collection import MetadataField
from control.specs.vector_filter import Exists
from tests.fakes.vector_plane import VectorPlane
from tests.fakes.vector_rows import batch_of, spec_of
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of()
IDS = pa.array([1, 2, 3], pa.int64())


def with_rows(home: Path, story: Callable[[VectorPlane, int], Awaitable[None]]) -> None:
    """One shard with rows 1 to 3, whose token it is told."""

    async def begin() -> None:
        plane = VectorPlane(home)
        await plane.create("c", SPEC)
        rows = batch_of(SPEC, [(one, ([float(one), 0.0, 0.0], 2000, "red")) for one in (1, 2, 3)])
        await story(plane, (await plane.shards.upsert("c", rows)).tokens[0])
        await plane.close()

    in_virtual_time(begin())


def test_changes_of_different_fields_of_different_rows_are_one_entry_of_the_log(tmp_path: Path) -> None:
    async def story(plane: VectorPlane, before: int) -> None:
        years = pa.record_batch({"id": pa.array([1, 9], pa.int64()), "year": pa.array([1927, 1], pa.int64())})
        colours = pa.record_batch({"id": pa.array([3], pa.int64()), "colour": pa.array([None], pa.string())})
        receipt = await plane.shards.update("c", [years, colours])
        assert (receipt.tokens, receipt.rows) == ({0: before + 1}, 2)
        found = await plane.shards.fetch("c", IDS, ("year", "colour", "vector"), tokens=receipt.tokens)
        assert found.to_pylist() == [
            {"id": 1, "year": 1927, "colour": "red", "vector": [1.0, 0.0, 0.0]},
            {"id": 2, "year": 2000, "colour": "red", "vector": [2.0, 0.0, 0.0]},
            {"id": 3, "year": 2000, "colour": None, "vector": [3.0, 0.0, 0.0]},
        ]

    with_rows(tmp_path, story)


def test_who_has_not_been_told_of_a_field_answers_nothing_about_it_and_learns_of_it_once(tmp_path: Path) -> None:
    stars = MetadataField(name="stars", type="integer")
    newer = SPEC.model_copy(update={"fields": (*SPEC.fields, stars)})
    change = pa.record_batch({"id": pa.array([1], pa.int64()), "stars": pa.array([9], pa.int64())})

    async def story(plane: VectorPlane, before: int) -> None:
        for ask in (
            plane.shards.count("c", Exists("stars"), seconds=0.3),
            plane.shards.fetch("c", IDS, ("stars",), seconds=0.3),
        ):
            with pytest.raises(Unanswered, match="has not been told of field 'stars' yet"):
                await ask
        with pytest.raises(Failed, match="has not been told of field 'stars' yet"):
            await plane.shards.update("c", [change], seconds=0.3)
        (actor,) = plane.replicas
        await plane.replicas[actor].retune(2, newer)
        await plane.shards.update("c", [change])
        assert (await plane.shards.fetch("c", IDS, ("stars",))).column("stars").to_pylist() == [9, None, None]
        await plane.end(actor)
        plane.start(actor, SPEC)
        assert (await plane.replicas[actor].standing()).generation == 2
        assert (await plane.shards.fetch("c", IDS, ("stars",))).column("stars").to_pylist() == [9, None, None]

    with_rows(tmp_path, story)


def test_a_change_that_waits_while_a_field_comes_keeps_what_rows_have_in_it(tmp_path: Path) -> None:
    stars = MetadataField(name="stars", type="integer")
    newer = SPEC.model_copy(update={"fields": (*SPEC.fields, stars)})
    rated = batch_of(SPEC, [(1, ([1.0, 0.0, 0.0], 2000, "red"))]).append_column("stars", pa.array([9], pa.int64()))
    year = pa.record_batch({"id": pa.array([1], pa.int64()), "year": pa.array([1927], pa.int64())})

    async def story(plane: VectorPlane, before: int) -> None:
        first = asyncio.create_task(plane.shards.upsert("c", rated))
        await asyncio.sleep(1.0)
        second = asyncio.create_task(plane.shards.update("c", [year]))
        await asyncio.sleep(1.0)
        (actor,) = plane.replicas
        await plane.replicas[actor].retune(2, newer)
        await asyncio.gather(first, second)
        (row,) = (await plane.shards.fetch("c", IDS[:1], ("year", "stars"))).to_pylist()
        assert row == {"id": 1, "year": 1927, "stars": 9}

    with_rows(tmp_path, story)


def test_changes_of_rows_that_there_are_not_write_nothing(tmp_path: Path) -> None:
    async def story(plane: VectorPlane, before: int) -> None:
        change = pa.record_batch({"id": pa.array([7], pa.int64()), "year": pa.array([1], pa.int64())})
        receipt = await plane.shards.update("c", [change, change.select(["id"])])
        assert (receipt.tokens, receipt.rows) == ({0: before}, 0)

    with_rows(tmp_path, story)


def test_a_change_sees_the_write_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    async def story(plane: VectorPlane, before: int) -> None:
        changes = [
            pa.record_batch({"id": IDS, "year": pa.array([year] * 3, pa.int64()), "colour": pa.array([colour] * 3)})
            for year, colour in ((1, "blue"), (2, "green"))
        ]
        await asyncio.gather(
            plane.shards.update("c", [changes[0].select(["id", "year"])]),
            plane.shards.update("c", [changes[1].select(["id", "colour"])]),
        )
        found = await plane.shards.fetch("c", IDS, ("year", "colour"))
        assert found.column("year").to_pylist() == [1, 1, 1]
        assert found.column("colour").to_pylist() == ["green"] * 3

    with_rows(tmp_path, story)

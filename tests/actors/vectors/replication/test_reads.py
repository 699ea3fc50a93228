"""When a replica answers a read, and when it sends the reader to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.vectors.changes import from_bytes, of_ids, to_bytes
from actors.vectors.query import Level
from actors.vectors.replication.errors import Behind, NotLeader, Starting
from actors.vectors.replication.state_machine import ALONE_SECONDS
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_plane import VectorPlane
from tests.fakes.vector_rows import batch_of, spec_of
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of("flat").model_copy(update={"replicas": 3})
FIRST, _, LAST = (f"vectors:c:12345678:0:{number}" for number in range(3))


class Plane(VectorPlane):
    """No leader reaches the replicas in `cut`."""

    cut: frozenset[str] = frozenset()

    async def call(self, actor: str, method: str, *words: Any) -> Any:
        if method == "peer" and actor in self.cut:
            raise ConnectionError(f"{actor} is cut off")
        return await super().call(actor, method, *words)

    async def write(self, *ids: int) -> int:
        rows = batch_of(SPEC, [(one, ([0.0, 0.0, 0.0], one, None)) for one in ids])
        return (await self.shards.upsert("c", rows)).tokens[0]

    async def fetch(self, actor: str, ids: list[int], level: Level, token: int = 0, seconds: float = 5.0) -> list[int]:
        found = await self.replicas[actor].fetch(to_bytes(of_ids(pa.array(ids, pa.int64()))), (), level, token, seconds)
        return from_bytes(found).column("id").to_pylist()  # type: ignore[no-any-return]


def told(home: Path, story: Callable[[Plane], Awaitable[None]]) -> None:
    """In virtual time, of one shard with rows 1 and 2; the last replica was away when row 2 was written."""

    async def begin() -> None:
        plane = Plane(home)
        await plane.create("c", SPEC)
        await plane.shards.upsert("c", batch_of(SPEC, [(1, ([0.0, 0.0, 0.0], 1, None))]), "all")
        await asyncio.sleep(0.5)
        await plane.end(LAST)
        await plane.write(2)
        plane.cut = frozenset({LAST})
        plane.start(LAST, SPEC)
        await story(plane)
        await plane.close()

    in_virtual_time(begin())


def test_a_replica_that_comes_back_shows_no_old_rows(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        with pytest.raises(Starting, match="has just started"):
            await plane.fetch(LAST, [1, 2], Level.LOG)
        plane.cut = frozenset()
        await asyncio.sleep(1.0)
        assert await plane.fetch(LAST, [1, 2], Level.LOG) == [1, 2]

    told(tmp_path, story)


def test_a_reader_without_a_token_never_sees_them_whichever_replica_it_asks(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        await asyncio.sleep(0.1)  # the other follower may be behind by so much
        for _ in range(6):
            assert await plane.shards.count("c", EVERYTHING) == 2

    told(tmp_path, story)


def test_a_read_that_waits_for_nothing_is_answered_at_once(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        await asyncio.sleep(0.1)
        assert await plane.fetch(LAST, [1, 2], Level.INDEXED) == [1]
        with pytest.raises(Starting):
            await plane.fetch(LAST, [1, 2], Level.LOG)

    told(tmp_path, story)


def test_without_any_leader_it_answers_after_some_seconds_with_what_it_has(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        await asyncio.sleep(ALONE_SECONDS + 0.1)
        assert await plane.fetch(LAST, [1, 2], Level.LOG) == [1]

    told(tmp_path, story)


def test_once_it_hears_of_more_it_answers_nothing_with_less(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        await asyncio.sleep(ALONE_SECONDS + 0.1)
        machine = plane.replicas[LAST]._core.machine
        machine.hear(plane.replicas[FIRST]._core.journal.committed)
        with pytest.raises(Behind):
            await plane.fetch(LAST, [1, 2], Level.LOG, seconds=0.5)

    told(tmp_path, story)


def test_a_reader_with_a_token_waits_for_its_write(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        plane.cut = frozenset()
        await asyncio.sleep(1.0)
        plane.cut = frozenset({LAST})
        token = await plane.write(3)
        with pytest.raises(Behind, match=f"not up to {token}"):
            await plane.fetch(LAST, [3], Level.LOG, token, 0.5)
        reading = asyncio.create_task(plane.fetch(LAST, [3], Level.LOG, token))
        await asyncio.sleep(0.1)
        plane.cut = frozenset()
        assert await reading == [3]

    told(tmp_path, story)


def test_a_follower_answers_no_fresh_reads(tmp_path: Path) -> None:
    async def story(plane: Plane) -> None:
        with pytest.raises(NotLeader):
            await plane.fetch(LAST, [1], Level.QUORUM)
        assert await plane.fetch(FIRST, [1, 2], Level.QUORUM) == [1, 2]

    told(tmp_path, story)

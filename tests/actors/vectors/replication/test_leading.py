"""A leader and those that it feeds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from control.specs.replica import Assignment
from tests.fakes.vector_plane import VectorPlane
from tests.fakes.vector_rows import batch_of, spec_of
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of()
LEADER, LEARNER = "vectors:c:12345678:0:0", "vectors:c:12345678:0:1"


def test_a_learner_that_comes_to_a_shard_at_rest_applies_what_there_is(tmp_path: Path) -> None:
    async def story() -> None:
        plane = VectorPlane(tmp_path)
        await plane.create("c", SPEC)
        token = (await plane.shards.upsert("c", batch_of(SPEC, [(1, ([0.0, 0.0, 0.0], 1, None))]))).tokens[0]
        await asyncio.sleep(1.0)
        plane.start(LEARNER, SPEC)
        await plane.replicas[LEADER].lead(Assignment(1, LEADER, (LEADER,), (LEARNER,)))
        await asyncio.sleep(2.0)
        assert plane.replicas[LEARNER]._core.machine.applied.value == token
        await plane.close()

    in_virtual_time(story())

"""A shop keeps its catalogue in three replicas. While its staff adds, changes and deletes products, processes die at
any line, disks fill up, flip bits and lose the end of files, a replica is slow, another one is cut off, and somebody
keeps appointing new leaders. What was said to be written is there at last, what was deleted stays deleted, and every
replica answers the same.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.crash.shard_run import ShardRun

SEEDS = int(os.environ.get("BIPLANE_CRASH_SEEDS", "25"))
SECONDS = 1.0
"""Of trouble."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_was_acknowledged_is_there_whatever_was_killed_cut_off_or_damaged(tmp_path: Path, seed: int) -> None:
    run = ShardRun(tmp_path, seed, arbiter=seed % 5 > 0)

    async def story() -> None:
        await run.trouble(SECONDS)
        await run.peace()

    try:
        asyncio.run(story())
    finally:
        run.end()

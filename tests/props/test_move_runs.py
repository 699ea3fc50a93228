"""What never happens while rows move to another number of shards, whatever is lost, late, killed, cut off, full or
replaced: an acknowledged write is lost, a deleted row is back, a fresh read or one with a token misses what was
acknowledged, a row is in two shards; and when all is well again the layout that is wanted serves.
"""

from __future__ import annotations

import os

import pytest

from actors.vectors.replication import feeding
from tests.props.move_run import MoveRun

SEEDS = int(os.environ.get("BIPLANE_MOVE_SEEDS", "15"))
STORIES = ((1, 2), (2, 3), (3, 1), (1, 2, 3), (2, 3, 2, 1))
"""How many shards are wanted, one after the other; some are wanted before the move to the one before is over."""


@pytest.mark.parametrize("story", STORIES)
def test_no_acknowledged_write_is_lost_and_no_deleted_row_is_back(
    story: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "PAGE_BYTES", 400)
    written = reads = moves = 0
    for seed in range(STORIES.index(story), SEEDS, len(STORIES)):
        run = MoveRun(seed, *story)
        try:
            run.go()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        written, reads, moves = written + run.written, reads + run.reads, moves + len(run.served) - 1
    assert written > SEEDS
    assert reads > SEEDS
    assert moves >= SEEDS // len(STORIES)

"""What never happens to a replicated shard, whatever is lost, late, heard twice, killed, cut off, full or replaced.

Never do two replicas apply different histories, is an entry lost that a quorum acknowledged, does a leader acknowledge
anything once a later one has, does a fresh read lack what was acknowledged before it, or one with a token its write;
and when all is well again it works again.
"""

from __future__ import annotations

import os

import pytest

from tests.props.replication_run import Run

SEEDS = int(os.environ.get("BIPLANE_REPLICATION_SEEDS", "200"))
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_no_acknowledged_history_is_ever_lost_or_contradicted(part: int) -> None:
    acknowledged = reads = own_reads = 0
    for seed in range(part, SEEDS, PARTS):
        run = Run(seed)
        try:
            run.go()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        acknowledged += len(run.acknowledged)
        reads += run.reads
        own_reads += run.own_reads
    assert acknowledged > SEEDS
    assert reads > SEEDS // 2
    assert own_reads > SEEDS // 2

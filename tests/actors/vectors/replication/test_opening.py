"""What a replica makes of its directory, whatever a crash has left there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.vectors.entry import Position
from actors.vectors.log import Log
from actors.vectors.replication import install
from actors.vectors.replication.core import ReplicaCore
from actors.vectors.replication.disk import Mark, load_state, save_state
from actors.vectors.replication.hard_state import HardState, Role
from actors.vectors.replication.messages import Other
from actors.vectors.replication.opening import open_replica
from actors.vectors.replication.standing import standing_of
from actors.vectors.replication.state_machine import IDLE_SECONDS
from actors.vectors.shard import Shard
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_rows import spec_of, upsert
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of()
MEMBERS = ("me", "second", "third")


def nobody(name: str) -> Other:
    raise NotImplementedError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a follower with entries 1 to 9, all of them synced, 6 final, and 4 in the shard's receipt."""
    entries = [upsert(SPEC, seq, [(seq, ([float(seq), 0.0, 0.0], seq, None))]) for seq in range(1, 10)]
    log, mark = Log.open(tmp_path / "log"), Mark(tmp_path)
    log.append(entries)
    mark.note(synced=log.sync(), committed=6)
    log.close()
    mark.close()
    shard = Shard.open(tmp_path / install.SHARD, SPEC)
    shard.apply(entries[:4])
    shard.flush()
    shard.close()
    save_state(tmp_path, HardState(1, 1, 0, Role.FOLLOWER, "second", MEMBERS))
    return tmp_path


def opened(home: Path, look: Callable[[ReplicaCore], None], seconds: float = 1.0) -> None:
    async def story() -> None:
        core = open_replica("me", home, SPEC, nobody)
        core.start()
        await asyncio.sleep(seconds)
        look(core)
        await core.close()

    in_virtual_time(story())


def test_what_is_known_to_be_final_is_applied_before_anybody_has_spoken_to_it(home: Path) -> None:
    def look(core: ReplicaCore) -> None:
        assert core.journal.last == Position(1, 9)
        assert (core.journal.committed, core.machine.applied.value) == (6, 6)
        assert core.machine.shard.view.count(EVERYTHING) == 6

    opened(home, look)


def test_a_replica_whose_receipt_and_mark_are_lost_knows_that_what_its_log_has_cut_off_was_final(home: Path) -> None:
    log = Log.open(home / "log")
    log.reset(Position(1, 46))
    log.close()
    (home / "mark").unlink()
    for path in (home / install.SHARD).glob("manifest-*"):
        path.unlink()

    def look(core: ReplicaCore) -> None:
        assert core.journal.committed == 46
        standing = standing_of(core, 1)
        assert standing.last_seq == 46
        assert "the shard is at 0" in " ".join(standing.degraded)

    opened(home, look, 3 * IDLE_SECONDS)


def test_a_log_that_lost_entries_says_so_and_goes_on_as_a_follower(home: Path) -> None:
    save_state(home, HardState(1, 1, 0, Role.LEADER, "me", MEMBERS))
    (path,) = (home / "log").glob("*.log")
    path.write_bytes(path.read_bytes()[:-10])

    def look(core: ReplicaCore) -> None:
        assert core.state.lost
        assert not core.state.leads
        assert load_state(home) == core.state
        assert core.journal.last == Position(1, 8)

    opened(home, look)


def test_a_log_that_ends_before_the_receipt_goes_on_behind_it(home: Path) -> None:
    for path in (home / "log").glob("*.log"):
        path.unlink()

    def look(core: ReplicaCore) -> None:
        assert core.journal.last == Position(1, 4)
        assert core.state.lost
        assert core.machine.shard.view.count(EVERYTHING) == 4

    opened(home, look)


def test_no_two_processes_have_the_same_directory(home: Path) -> None:
    def look(core: ReplicaCore) -> None:
        with pytest.raises(BlockingIOError, match="another process serves the replica"):
            open_replica("me", home, SPEC, nobody)

    opened(home, look)

"""A replica's shard kept whole and its log kept short; with a real disk, and others that are played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.vectors.entry import Position
from actors.vectors.log import Log
from actors.vectors.replication import install, upkeep
from actors.vectors.replication.copying import Copies
from actors.vectors.replication.disk import Mark
from actors.vectors.replication.hard_state import HardState, Role
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Appended, Copy
from actors.vectors.replication.state_machine import StateMachine
from actors.vectors.replication.upkeep import RESTORE_SECONDS, Upkeep
from actors.vectors.shard import Shard
from actors.vectors.snapshot import SnapshotError
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_rows import spec_of, upsert
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of()
MEMBERS = ("me", "second", "third")


def entries(last: int, first: int = 1) -> list[Any]:
    return [upsert(SPEC, seq, [(seq, ([float(seq), 0.0, 0.0], seq, "red"))]) for seq in range(first, last + 1)]


class Leading:
    """`everywhere` is what every member has."""

    everywhere = 0


class Other:
    """Another replica, with a shard of entries up to `last`; `asked` counts its copies."""

    def __init__(self, directory: Path, last: int) -> None:
        self.directory, self.asked, self.away = directory / install.SHARD, 0, False
        self.shard = Shard.open(self.directory, SPEC)
        self.shard.apply(entries(last))
        self.copies = Copies(lambda: self.shard, lambda: "", self.directory, self._background)

    async def _background(self, job: Callable[[], Any]) -> Any:
        await asyncio.sleep(0.1)
        return job()

    async def append(self, request: object) -> Appended:
        raise ConnectionError

    async def copy(self) -> Copy:
        self.asked += 1
        if self.away:
            raise ConnectionError("it is dead")
        return await self.copies.begin()

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        return await self.copies.chunk(number, name, offset, size)

    async def end_copy(self, number: int) -> None:
        await self.copies.end(number)


class Replica:
    """Of entries 1 to `last`, all final; a follower, until it `leads`."""

    def __init__(self, home: Path, last: int, restoring: bool = False) -> None:
        self.home = home / "me"
        self.home.mkdir()
        self.log = Log.open(self.home / "log")
        for entry in entries(last):
            self.log.append([entry])
        self.log.sync()
        shard = Shard.open(self.home / install.SHARD, SPEC)
        self.journal = Journal(self.home, self.log, Mark(self.home), last)
        self.machine = StateMachine(shard, SPEC, self.journal, restoring)
        self.state = HardState(epoch=1, leader="second", members=MEMBERS)
        self.leading: Any = None
        self.others = {name: Other(home / name, last) for name in MEMBERS[1:]}
        self.upkeep = Upkeep(
            "me", self.home, lambda name: self.others[name], self.machine, self.journal, asyncio.Lock(),
            lambda: self.state, lambda: self.leading,
        )  # fmt: skip

    def leads(self, everywhere: int) -> None:
        self.state = HardState(epoch=1, role=Role.LEADER, leader="me", members=MEMBERS)
        self.leading = Leading()
        self.leading.everywhere = everywhere

    def count(self) -> int:
        return self.machine.shard.view.count(EVERYTHING)


def played(home: Path, story: Callable[[Replica], Awaitable[None]], last: int = 20, *, restoring: bool = False) -> None:
    async def play() -> None:
        replica = Replica(home, last, restoring)
        running = [asyncio.create_task(replica.machine.run(lambda _: None))]
        if not restoring:
            await replica.machine.applied.reach(last)
        running.append(asyncio.create_task(replica.upkeep.maintain()))
        await story(replica)
        replica.upkeep.end()
        for task in running:
            task.cancel()

    in_virtual_time(play())


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the log: an entry each, so that it can be cut anywhere."""
    monkeypatch.setattr("actors.vectors.log.FILE_BYTES", 1)


def test_the_log_is_cut_behind_a_receipt_and_not_before_there_is_one(tmp_path: Path) -> None:
    async def story(replica: Replica) -> None:
        await asyncio.sleep(1.0)
        assert replica.journal.first == 1
        await replica.machine.background(replica.machine.shard.flush)
        await asyncio.sleep(1.0)
        assert replica.journal.first == 20, "the file that is written to stays"

    played(tmp_path, story)


def test_a_leader_keeps_what_a_member_lacks_until_that_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(replica: Replica) -> None:
        replica.leads(everywhere=7)
        await replica.machine.background(replica.machine.shard.flush)
        await asyncio.sleep(1.0)
        assert replica.journal.first == 8
        monkeypatch.setattr(upkeep, "KEPT_LOG_BYTES", 10)
        await replica.journal.write(1, [(entry.kind, entry.body) for entry in entries(21, 21)])
        replica.machine.commit(21)
        await replica.machine.applied.reach(21)
        await replica.machine.background(replica.machine.shard.flush)
        await asyncio.sleep(1.0)
        assert replica.journal.first == 21

    played(tmp_path, story)


def test_a_full_disk_stops_no_upkeep_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = Shard.maintain, 0

    def full(shard: Shard) -> bool:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise OSError(28, "No space left on device")
        return real(shard)

    monkeypatch.setattr(Shard, "maintain", full)

    async def story(replica: Replica) -> None:
        replica.machine.shard.optimise()
        await asyncio.sleep(3.0)
        assert tries > 4
        assert replica.machine.shard.figures().segments == 1

    played(tmp_path, story)


def test_a_follower_with_a_damaged_shard_takes_a_copy_from_whom_it_is_told_and_has_all_rows(tmp_path: Path) -> None:
    async def story(replica: Replica) -> None:
        replica.machine.gap = ("a segment is damaged",)
        assert replica.upkeep.needs_copy
        await asyncio.sleep(1.0)
        assert [one.asked for one in replica.others.values()] == [0, 0], "a follower is told by its leader"
        for _ in range(3):
            replica.upkeep.mend("second")
        await asyncio.sleep(3.0)
        assert replica.others["second"].asked == 1, "one at a time"
        assert (replica.machine.lacks, replica.count()) == ("", 20)
        assert not list(replica.home.glob("copy-*"))

    played(tmp_path, story)


def test_a_leader_with_a_damaged_shard_asks_one_member_after_the_other(tmp_path: Path) -> None:
    async def story(replica: Replica) -> None:
        replica.others["second"].away = True
        replica.leads(everywhere=20)
        replica.machine.gap = ("a segment is damaged",)
        await asyncio.sleep(5.0)
        assert replica.others["second"].asked >= 1
        assert (replica.machine.lacks, replica.count()) == ("", 20)

    played(tmp_path, story)


def test_a_copy_that_does_not_reach_the_log_is_left_alone(tmp_path: Path) -> None:
    async def story(replica: Replica) -> None:
        await replica.machine.background(replica.machine.shard.flush)
        await asyncio.sleep(1.0)
        replica.others["third"] = Other(tmp_path / "old", 5)
        replica.machine.gap = ("a segment is damaged",)
        replica.upkeep.mend("third")
        await asyncio.sleep(3.0)
        assert replica.others["third"].asked == 1
        assert (replica.machine.lacks, replica.journal.last) == ("a segment is damaged", Position(1, 20))

    played(tmp_path, story)


def test_a_leader_takes_no_copy_of_more_than_its_own_log_has(tmp_path: Path) -> None:
    async def story(replica: Replica) -> None:
        replica.others["third"] = Other(tmp_path / "ahead", 25)
        replica.leads(everywhere=20)
        replica.upkeep.mend("third")
        await asyncio.sleep(3.0)
        assert (replica.count(), replica.journal.last) == (20, Position(1, 20))

    played(tmp_path, story)


def test_a_copy_that_no_disk_takes_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, full = install.write_chunk, True

    def write(*words: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(*words)

    monkeypatch.setattr(install, "write_chunk", write)

    async def story(replica: Replica) -> None:
        nonlocal full
        replica.leads(everywhere=20)
        replica.machine.gap = ("a segment is damaged",)
        await asyncio.sleep(3.0)
        assert replica.machine.lacks
        full = False
        await asyncio.sleep(3.0)
        assert (replica.machine.lacks, replica.count()) == ("", 20)

    played(tmp_path, story)


def test_a_copy_that_is_half_in_its_place_ends_the_process_and_the_next_one_puts_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(log: Log, position: Position) -> None:
        raise OSError(5, "Input/output error")

    async def story(replica: Replica) -> None:
        replica.others["second"] = Other(tmp_path / "ahead", 30)
        with monkeypatch.context() as patched:
            patched.setattr(Log, "reset", fails)
            replica.upkeep.mend("second")
            async with asyncio.timeout(5.0):
                await replica.journal.failed.wait()
        await replica.journal.close()
        with_log, mark = Log.open(replica.home / "log"), Mark(replica.home)
        install.put_in_place(replica.home, with_log, mark)
        assert Shard.open(replica.home / install.SHARD, SPEC).view.count(EVERYTHING) == 30
        assert with_log.last == Position(1, 30)

    played(tmp_path, story)


def test_a_snapshot_that_cannot_be_read_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ["no such bucket", "no such bucket"]

    def restore(spec: object, actor: str, partial: Path) -> None:
        if wrong:
            raise SnapshotError(wrong.pop())
        shard = Shard.open(partial, SPEC)
        shard.flush()

    monkeypatch.setattr(upkeep, "restore", restore)

    async def story(replica: Replica) -> None:
        restoring = asyncio.create_task(replica.upkeep.restore())
        await asyncio.sleep(1.0)
        assert "its rows cannot be restored: no such bucket" in replica.machine.lacks
        assert replica.upkeep.needs_copy, "another replica may have the rows"
        await asyncio.sleep(2 * RESTORE_SECONDS)
        await restoring
        assert replica.machine.lacks == ""
        assert not replica.machine.restoring

    played(tmp_path, story, 0, restoring=True)


def test_a_replica_that_is_restored_asks_nobody_for_a_copy_while_it_reads_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(replica: Replica) -> None:
        replica.leads(everywhere=0)
        await asyncio.sleep(3.0)
        assert replica.machine.lacks
        assert [one.asked for one in replica.others.values()] == [0, 0]

    played(tmp_path, story, 0, restoring=True)

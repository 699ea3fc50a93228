"""The log as its event loop sees it: what is written, what is on the disk, what is final; and a disk in trouble."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.log import Log, LogCut, LogFailed
from actors.vectors.replication.accept import Taken, Unmatched
from actors.vectors.replication.disk import Mark, load_state
from actors.vectors.replication.hard_state import HardState
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.messages import Append
from tests.fakes.virtual_time import in_virtual_time

ITEMS = [(Kind.UPSERT, b"one"), (Kind.UPSERT, b"two"), (Kind.UPSERT, b"three")]


class Disk:
    """Counts its syncs; the next ones fail with `errors`. `room` is how many bytes it takes at once, None for any."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs, self.errors = 0, list[int]()
        self.room: int | None = None
        fsync, writev = os.fsync, os.writev

        def sync(descriptor: int) -> None:
            self.syncs += 1
            if self.errors:
                raise OSError(self.errors.pop(0), "No space left on device")
            fsync(descriptor)

        def write(descriptor: int, parts: Sequence[bytes]) -> int:
            if self.room is not None and sum(map(len, parts)) > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return writev(descriptor, parts)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "writev", write)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def played(home: Path, story: Callable[[Journal], Awaitable[None]]) -> tuple[Position, Position, int]:
    """The last entry, what is marked as synced, and as final, as the next process finds them."""

    async def play() -> None:
        log = Log.open(home / "log")
        journal = Journal(home, log, Mark(home), 0)
        await story(journal)
        await asyncio.sleep(0)

    in_virtual_time(play())
    mark = Mark(home)
    return Log.open(home / "log").last, mark.synced, mark.committed


def append(term: int, previous: Position, entries: Sequence[tuple[int, int]]) -> Append:
    """Entries by their term and number."""
    made = tuple(Entry(one, seq, Kind.UPSERT, b"%d-%d" % (one, seq)) for one, seq in entries)
    return Append(term, "leader", previous, made, 0)


def test_writes_get_numbers_that_follow_on_and_all_of_them_are_on_the_disk_after_a_sync(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        assert [entry.seq for entry in await journal.write(1, ITEMS)] == [1, 2, 3]
        assert [entry.seq for entry in await journal.write(2, ITEMS[:1])] == [4]
        assert (journal.last, journal.synced) == (Position(2, 4), 0)
        await journal.sync(4)
        assert journal.synced == 4

    assert played(tmp_path, story)[:2] == (Position(2, 4), Position(2, 4))


def test_all_who_wait_for_the_disk_share_a_sync(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS)
        before = disk.syncs
        await asyncio.gather(*(journal.sync(seq) for seq in (1, 2, 3, 3, 2)))
        assert disk.syncs == before + 1
        await journal.sync(2)
        assert disk.syncs == before + 1, "it is there"

    played(tmp_path, story)


def test_what_is_written_while_a_sync_runs_takes_the_next_one(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS[:1])
        first = asyncio.create_task(journal.sync(1))
        await asyncio.sleep(0)
        await journal.write(1, ITEMS[1:])
        before = disk.syncs
        await asyncio.gather(first, journal.sync(2), journal.sync(3))
        assert journal.synced == 3
        assert disk.syncs <= before + 1

    played(tmp_path, story)


def test_a_sync_that_nobody_waits_for_any_more_goes_on_for_the_others(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS)
        waits = [asyncio.create_task(journal.sync(3)) for _ in range(2)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await waits[1]
        assert journal.synced == 3

    played(tmp_path, story)


def test_a_full_disk_takes_nothing_of_a_write_and_more_once_there_is_room(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS[:1])
        disk.room = 10
        with pytest.raises(OSError, match="No space left"):
            await journal.write(1, ITEMS)
        assert journal.last == Position(1, 1)
        disk.room = None
        assert [entry.seq for entry in await journal.write(1, ITEMS[:1])] == [2]
        await journal.sync(2)

    assert played(tmp_path, story)[0] == Position(1, 2)


def test_what_a_full_disk_did_not_sync_is_dropped_again_and_all_who_wait_are_told(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS[:1])
        await journal.sync(1)
        await journal.write(1, ITEMS[1:])
        disk.errors = [errno.ENOSPC]
        told = await asyncio.gather(journal.sync(2), journal.sync(3), return_exceptions=True)
        assert all(isinstance(one, OSError) for one in told)
        assert (journal.last, journal.synced) == (Position(1, 1), 1)
        assert journal.recent.get(2) is None
        assert not journal.failed.is_set()
        with pytest.raises(OSError, match="entry 3 was dropped again"):
            await journal.sync(3)
        assert [entry.seq for entry in await journal.write(2, ITEMS[:1])] == [2], "another one with that number"
        await journal.sync(2)

    assert played(tmp_path, story)[:2] == (Position(2, 2), Position(2, 2))


def test_after_a_sync_that_failed_otherwise_the_process_has_to_end(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS)
        disk.errors = [errno.EIO]
        with pytest.raises(LogFailed, match="must be opened again"):
            await journal.sync(3)
        assert journal.failed.is_set()
        assert journal.synced == 0
        with pytest.raises(LogFailed):
            await journal.write(1, ITEMS)

    assert played(tmp_path, story)[1] == Position(0, 0), "nobody was told that anything is on the disk"


def test_what_a_leader_sends_is_taken_behind_what_both_have(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        assert isinstance(await journal.take(append(1, Position(0, 0), [(1, 1), (1, 2), (1, 3)])), Taken)
        answer = await journal.take(append(2, Position(1, 9), [(2, 10)]))
        assert answer == Unmatched(3)
        answer = await journal.take(append(2, Position(2, 3), [(2, 4)]))
        assert answer == Unmatched(0)
        assert journal.last == Position(1, 3)

    played(tmp_path, story)


def test_a_tail_of_another_history_is_cut_and_no_longer_counts_as_synced(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        await journal.take(append(1, Position(0, 0), [(1, 1), (1, 2), (1, 3)]))
        await journal.sync(3)
        await journal.take(append(2, Position(1, 1), [(2, 2)]))
        assert (journal.last, journal.synced) == (Position(2, 2), 1)
        assert journal.term_at(2) == 2

    last, synced, _ = played(tmp_path, story)
    assert (last, synced) == (Position(2, 2), Position(1, 1))


def test_a_kill_while_a_tail_is_cut_does_not_look_like_a_disk_that_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(journal: Journal) -> None:
        await journal.take(append(1, Position(0, 0), [(1, 1), (1, 2), (1, 3)]))
        await journal.sync(3)
        cut = Log.cut_after

        def killed(log: Log, seq: int) -> None:
            cut(log, seq)
            raise ConnectionError("the process is killed")

        monkeypatch.setattr(Log, "cut_after", killed)
        with pytest.raises(ConnectionError):
            await journal.take(append(2, Position(1, 1), [(2, 2)]))

    last, synced, _ = played(tmp_path, story)
    assert last >= synced


def test_no_more_is_final_than_what_is_there_and_never_less_than_before(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS)
        journal.commit(2)
        journal.commit(1)
        assert journal.committed == 2
        journal.commit(9)
        assert journal.committed == 3

    assert played(tmp_path, story)[2] == 3


def test_what_follows_an_entry_is_the_same_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        await journal.write(1, ITEMS)
        in_memory = [await journal.behind(seq) for seq in (1, 2, 3)]
        journal.recent.clear()
        assert [await journal.behind(seq) for seq in (1, 2, 3)] == in_memory
        assert (await journal.behind(0))[0] == Position(0, 0)
        assert [entry.body for entry in (await journal.behind(0))[1]] == [b"one", b"two", b"three"]

    played(tmp_path, story)


def test_what_the_log_does_not_keep_any_more_is_said_to_be_cut(tmp_path: Path) -> None:
    async def story(journal: Journal) -> None:
        await journal.change(lambda log, mark: log.reset(Position(3, 40)))
        assert (journal.last, journal.first, journal.committed) == (Position(3, 40), 41, 40)
        with pytest.raises(LogCut):
            await journal.behind(39)
        assert await journal.behind(40) == (Position(3, 40), [])

    assert played(tmp_path, story)[0] == Position(3, 40)


def test_what_was_promised_is_on_the_disk_before_it_counts(tmp_path: Path, disk: Disk) -> None:
    async def story(journal: Journal) -> None:
        await journal.save(HardState().promise(7))
        assert load_state(tmp_path) == HardState().promise(7)
        disk.errors = [errno.ENOSPC]
        with pytest.raises(OSError, match="No space left"):
            await journal.save(HardState().promise(8))
        assert load_state(tmp_path) == HardState().promise(7)

    played(tmp_path, story)

"""The log of a shard: what was synced is there after any crash, and damage is cut, said and counted."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from actors.vectors import log as log_module
from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.framing import FRAME_BYTES, HEAD_BYTES
from actors.vectors.log import Log, LogCut, LogFailed
from actors.vectors.log_file import LogDamaged


def entries(first: int, last: int, epoch: int = 1, size: int = 20) -> list[Entry]:
    return [Entry(epoch, seq, Kind.UPSERT, bytes([seq % 256]) * size) for seq in range(first, last + 1)]


def all_of(log: Log) -> list[Entry]:
    found: list[Entry] = []
    while more := log.read(found[-1].seq if found else log.first - 1, most_bytes=100):
        found += more
    return found


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "FILE_BYTES", 200)


def written(directory: Path, count: int) -> Log:
    log = Log.open(directory)
    for one in entries(1, count):
        log.append([one])
    log.sync()
    return log


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log")
    assert (log.first, log.last, log.damage, log.lost) == (1, Position(0, 0), "", 0)
    assert log.read(0) == []
    assert log.epoch_at(0) == 0


@pytest.mark.usefixtures("small_files")
def test_what_was_synced_is_read_after_opening_again(tmp_path: Path) -> None:
    log = written(tmp_path, 30)
    log.append(entries(31, 35, epoch=4))
    assert log.sync() == Position(4, 35)
    log.close()
    again = Log.open(tmp_path)
    assert len(list(tmp_path.iterdir())) > 3
    assert all_of(again) == entries(1, 30) + entries(31, 35, epoch=4)
    assert (again.damage, again.last) == ("", Position(4, 35))
    assert [again.epoch_at(seq) for seq in (0, 1, 30, 31, 35)] == [0, 1, 1, 4, 4]


def test_reads_are_bounded_by_bytes_but_never_empty(tmp_path: Path) -> None:
    log = written(tmp_path, 10)
    assert log.read(3, most_bytes=1) == entries(4, 4)
    assert log.read(3, most_bytes=2 * (FRAME_BYTES + 20)) == entries(4, 5)
    assert log.read(10) == []


@pytest.mark.parametrize(
    "wrong", [entries(4, 4), entries(2, 2), [*entries(3, 3), *entries(5, 5)], entries(3, 3, epoch=0)]
)
def test_entries_that_do_not_follow_on_are_refused_whole(tmp_path: Path, wrong: list[Entry]) -> None:
    log = written(tmp_path, 2)
    with pytest.raises(ValueError, match=r"expected \d"):
        log.append(wrong)
    assert all_of(log) == entries(1, 2)


def test_an_epoch_of_an_entry_that_is_not_written_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="entry 3 is not written yet: the last one is 2"):
        written(tmp_path, 2).epoch_at(3)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("seed", range(25))
def test_a_cut_at_any_byte_leaves_the_whole_entries_before_it(tmp_path: Path, seed: int) -> None:
    written(tmp_path, 20).close()
    path = sorted(tmp_path.iterdir())[-1]
    size = path.stat().st_size
    at = random.Random(seed).randrange(HEAD_BYTES, size)
    os.truncate(path, at)
    log = Log.open(tmp_path)
    whole = (at - HEAD_BYTES) // (FRAME_BYTES + 20)
    kept = 20 - (size - HEAD_BYTES) // (FRAME_BYTES + 20) + whole
    assert all_of(log) == entries(1, kept)
    assert log.lost == 0
    assert bool(log.damage) == ((at - HEAD_BYTES) % (FRAME_BYTES + 20) != 0)
    log.append(entries(kept + 1, kept + 1))
    log.sync()
    log.close()
    assert all_of(Log.open(tmp_path)) == entries(1, kept + 1)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_cuts_there_and_says_how_many_later_entries_are_lost(tmp_path: Path, seed: int) -> None:
    written(tmp_path, 20).close()
    chance = random.Random(seed)
    path = chance.choice(sorted(tmp_path.iterdir()))
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    log = Log.open(tmp_path)
    kept = len(all_of(log))
    assert all_of(log) == entries(1, kept)
    head_was_hit = log.lost == 20 - kept
    assert head_was_hit or log.lost == 20 - kept - 1
    assert kept < 20
    assert path.name in log.damage
    log.append(entries(kept + 1, 21))
    log.sync()
    log.close()
    again = Log.open(tmp_path)
    assert (all_of(again), again.damage) == (entries(1, 21), "")


@pytest.mark.usefixtures("small_files")
def test_a_missing_file_cuts_the_log_before_it(tmp_path: Path) -> None:
    written(tmp_path, 20).close()
    sorted(tmp_path.iterdir())[1].unlink()
    log = Log.open(tmp_path)
    assert all_of(log) == entries(1, log.last.seq)
    assert log.lost > 0
    assert "later entries" in log.damage


class FullDisk:
    """Takes `room` more bytes, then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write, self._writev = os.write, os.writev
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "writev", self.writev)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(descriptor, memoryview(data)[: self.room])
        self.room -= taken
        return taken

    def writev(self, descriptor: int, parts: list[bytes]) -> int:
        return self.write(descriptor, b"".join(parts))


@pytest.mark.parametrize("room", [0, 1, 30, 60, 100, 104])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    log = written(tmp_path, 3)
    size = log.nbytes
    disk = FullDisk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left"):
        log.append(entries(4, 6))
    assert (log.last, log.nbytes) == (Position(1, 3), size)
    assert sorted(tmp_path.iterdir())[0].stat().st_size == size
    disk.room = 10_000
    log.append(entries(4, 5))
    log.sync()
    log.close()
    assert all_of(Log.open(tmp_path)) == entries(1, 5)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_is_full_at_a_new_file_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path, 4)
    disk = FullDisk(monkeypatch, 10)
    with pytest.raises(OSError, match="No space left"):
        log.append(entries(5, 5))
    assert len(list(tmp_path.iterdir())) == 1
    disk.room = 1_000
    log.append(entries(5, 5))
    assert all_of(log) == entries(1, 5)


def failing_fsync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The next fsync fails."""
    real, left = os.fsync, [1]

    def fsync(descriptor: int) -> None:
        if left:
            left.pop()
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_is_full_at_sync_takes_back_what_was_not_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path, 3)
    for one in entries(4, 12):
        log.append([one])
    failing_fsync(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        log.sync()
    assert log.last == Position(1, 3)
    log.append(entries(4, 4, epoch=2))
    assert log.sync() == Position(2, 4)
    log.close()
    assert all_of(Log.open(tmp_path)) == entries(1, 3) + entries(4, 4, epoch=2)


def test_after_a_failed_fsync_nothing_is_taken_until_the_log_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path, 3)
    log.append(entries(4, 4))
    failing_fsync(monkeypatch, errno.EIO)
    with pytest.raises(LogFailed, match="could not be written to the disk"):
        log.sync()
    for attempt in (
        lambda: log.append(entries(5, 5)),
        log.sync,
        lambda: log.cut_after(3),
        lambda: log.reset(Position(1, 1)),
    ):
        with pytest.raises(LogFailed, match="must be opened again"):
            attempt()
    log.close()
    again = Log.open(tmp_path)
    again.append(entries(again.last.seq + 1, 5))
    assert all_of(again) == entries(1, 5)


def test_an_entry_that_rots_while_the_log_is_open_is_not_handed_out(tmp_path: Path) -> None:
    log = written(tmp_path, 3)
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert log.read(0, most_bytes=100) == entries(1, 1) + entries(2, 2)
    with pytest.raises(LogDamaged, match="entry 3 in"):
        log.read(2)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("seq", [0, 1, 4, 5, 19, 20])
def test_a_conflicting_tail_is_cut_for_good(tmp_path: Path, seq: int) -> None:
    log = written(tmp_path, 20)
    log.cut_after(seq)
    assert log.last == Position(1 if seq else 0, seq)
    log.append(entries(seq + 1, seq + 2, epoch=7))
    log.sync()
    log.close()
    assert all_of(Log.open(tmp_path)) == entries(1, seq) + entries(seq + 1, seq + 2, epoch=7)


@pytest.mark.usefixtures("small_files")
def test_what_is_behind_a_receipt_is_dropped_by_whole_files(tmp_path: Path) -> None:
    log = written(tmp_path, 20)
    log.cut_before(11)
    assert 1 < log.first <= 11
    first = log.first
    with pytest.raises(LogCut, match=f"begins with entry {first}"):
        log.read(first - 2)
    with pytest.raises(LogCut):
        log.epoch_at(first - 2)
    assert log.epoch_at(first - 1) == 1
    log.close()
    again = Log.open(tmp_path)
    assert all_of(again) == entries(first, 20)
    assert again.damage == ""


def test_after_a_reset_the_next_entry_is_the_one_behind_the_position(tmp_path: Path) -> None:
    log = written(tmp_path, 20)
    log.reset(Position(5, 7))
    assert (log.first, log.last, log.epoch_at(7)) == (8, Position(5, 7), 5)
    log.append(entries(8, 9, epoch=5))
    log.sync()
    log.close()
    again = Log.open(tmp_path)
    assert (all_of(again), again.damage) == (entries(8, 9, epoch=5), "")


def test_a_crash_between_the_two_steps_of_a_reset_leaves_the_reset_log(tmp_path: Path) -> None:
    log = written(tmp_path / "log", 20)
    shutil.copytree(tmp_path / "log", tmp_path / "old")
    log.reset(Position(5, 7))
    log.close()
    for path in (tmp_path / "old").iterdir():
        shutil.copy(path, tmp_path / "log" / path.name)
    again = Log.open(tmp_path / "log")
    assert (again.last, again.damage) == (Position(5, 7), "")

"""A copy of a shard comes into its place whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from actors.vectors.entry import Entry, Kind, Position
from actors.vectors.log import Log
from actors.vectors.replication import install
from actors.vectors.replication.disk import Mark
from tests.fakes.fuse import Crash, Fuse

OLD, NEW = {"manifest": "old", "segments/one": "old rows"}, {"manifest": "new", "segments/two": "new rows"}
TOUCHES = ("rename", "unlink", "rmdir", "mkdir", "open", "fsync", "ftruncate", "pwrite")
"""Whatever changes a file, or makes it last, but for what fills those of the copy."""


def fill(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        install.write_chunk(directory, name, 0, text.encode())


def found(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a replica with an old shard, and entries 1 to 10 of term 1."""
    directory = tmp_path / "replica"
    (directory / install.SHARD).mkdir(parents=True)
    fill(directory / install.SHARD, OLD)
    with opened(directory) as (log, mark):
        log.append([Entry(1, seq, Kind.LEAD, b"") for seq in range(1, 11)])
        mark.note(synced=log.sync(), committed=8)
    return directory


@contextmanager
def opened(directory: Path) -> Iterator[tuple[Log, Mark]]:
    mark, log = Mark(directory), Log.open(directory / "log")
    try:
        yield log, mark
    finally:
        log.close()
        mark.close()


def fetch(directory: Path, position: Position) -> None:
    partial = install.begin(directory)
    fill(partial, NEW)
    install.complete(directory, partial, position)


@pytest.mark.parametrize(
    ("position", "last"),
    [
        pytest.param(Position(1, 8), Position(1, 10), id="the log goes on behind it, and stays"),
        pytest.param(Position(1, 30), Position(1, 30), id="the log ends before it"),
        pytest.param(Position(2, 8), Position(2, 8), id="the log has another entry there"),
    ],
)
def test_the_log_goes_on_behind_the_copy(home: Path, position: Position, last: Position) -> None:
    fetch(home, position)
    with opened(home) as (log, mark):
        install.put_in_place(home, log, mark)
        assert log.last == last
        assert log.first - 1 <= position.seq
        assert mark.synced == last
    assert found(home / install.SHARD) == NEW
    assert sorted(path.name for path in home.iterdir()) == ["log", "mark", "shard"]


def test_files_come_in_chunks(home: Path) -> None:
    partial = install.begin(home)
    for offset, data in ((0, b"three "), (6, b"little "), (13, b"pieces")):
        install.write_chunk(partial, "deep/file", offset, data)
    assert (partial / "deep/file").read_bytes() == b"three little pieces"


def test_what_an_earlier_attempt_left_is_no_part_of_the_next_one(home: Path) -> None:
    install.write_chunk(install.begin(home), "manifest", 0, b"a longer text of an earlier attempt")
    fetch(home, Position(1, 8))
    with opened(home) as (log, mark):
        install.put_in_place(home, log, mark)
    assert found(home / install.SHARD) == NEW


@pytest.mark.parametrize("name", ["../shard/manifest", "/etc/passwd", "a/../../b"])
def test_no_file_of_a_copy_leads_out_of_its_directory(home: Path, name: str) -> None:
    partial = install.begin(home)
    with pytest.raises(ValueError, match="expected a path below the shard's directory"):
        install.write_chunk(partial, name, 0, b"evil")
    assert found(home / install.SHARD) == OLD


@pytest.mark.parametrize(("later", "older"), [(30, 9), (30, 7), (11, 9), (100, 99)])
def test_of_two_copies_that_a_full_disk_kept_from_their_place_the_later_one_stays(
    home: Path, later: int, older: int
) -> None:
    for seq in (later, older):
        fetch(home, Position(1, seq))
    (home / f"copy-1-{older}" / "manifest").write_text("older")
    with opened(home) as (log, mark):
        install.put_in_place(home, log, mark)
        assert log.last == Position(1, later)
    assert found(home / install.SHARD) == NEW


def test_a_copy_of_the_same_position_takes_the_place_of_one_that_is_not_in_its_own(home: Path) -> None:
    fetch(home, Position(1, 30))
    fetch(home, Position(1, 30))
    with opened(home) as (log, mark):
        install.put_in_place(home, log, mark)
    assert found(home / install.SHARD) == NEW


@contextmanager
def killed_by(fuse: Fuse, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process dies right before a touch of a file; nobody in it closes or removes anything then."""
    with monkeypatch.context() as patched:
        for name in TOUCHES:
            real = getattr(os, name)

            def touch(*words: Any, real: Any = real, **more: Any) -> Any:
                fuse.point()
                return real(*words, **more)

            patched.setattr(os, name, touch)
        with suppress(Crash):
            yield


@pytest.mark.parametrize("position", [Position(1, 8), Position(1, 30), Position(2, 8)])
def test_a_kill_at_any_touch_of_a_file_leaves_the_old_shard_or_the_new_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: Position
) -> None:
    touches, killed = 0, True
    while killed:
        place = tmp_path / str(touches)
        shutil.copytree(home, place)
        complete = False
        fuse = Fuse([touches, touches // 2])
        with killed_by(fuse, monkeypatch), opened(place) as (log, mark):
            fetch(place, position)
            complete = True
            install.put_in_place(place, log, mark)
        killed = fuse.passed > touches
        with killed_by(fuse, monkeypatch), opened(place) as (log, mark):  # as it starts again, and may die again
            install.put_in_place(place, log, mark)
        with opened(place) as (log, mark):
            install.put_in_place(place, log, mark)
            shard = found(place / install.SHARD)
            assert shard == NEW or (shard == OLD and not complete)
            if shard == NEW:
                assert log.first - 1 <= position.seq <= log.last.seq
            else:
                assert log.last == Position(1, 10)
            assert log.last >= mark.synced, "nothing counts as lost"
        touches += 1
    assert touches > 20

"""A copy of another replica's shard, read in chunks while the other goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.vectors.entry import Position
from actors.vectors.replication import copying, install
from actors.vectors.replication.copying import MOST_COPIES, Copies, fetch
from actors.vectors.replication.errors import Degraded, Mismatch
from actors.vectors.replication.messages import Copy, CopyFile
from actors.vectors.shard import Shard
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_rows import spec_of, upsert
from tests.fakes.virtual_time import in_virtual_time

SPEC = spec_of()


async def background(job: Callable[[], Any]) -> Any:
    return job()


class Source:
    """A replica with a shard of rows 0 to 9 at position 1, as another one calls it. `dies_after` so many chunks."""

    def __init__(self, home: Path) -> None:
        self.directory = home / install.SHARD
        self.shard, self.lacks = Shard.open(self.directory, SPEC), ""
        self.write(1, range(10))
        self.copies = Copies(lambda: self.shard, lambda: self.lacks, self.directory, background)
        self.chunks, self.dies_after = 0, 1_000_000

    def write(self, seq: int, ids: range) -> None:
        self.shard.apply([upsert(SPEC, seq, [(one, ([float(one), 0.0, 0.0], seq, "red")) for one in ids])])

    def churn(self, seq: int) -> None:
        """Everything that it has on its disk is written anew."""
        self.write(seq, range(10))
        self.shard.optimise()
        while self.shard.maintain():
            pass
        self.shard.flush()

    async def append(self, request: object) -> Any:
        raise NotImplementedError

    async def copy(self) -> Copy:
        return await self.copies.begin()

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        self.chunks += 1
        if self.chunks > self.dies_after:
            raise ConnectionError("it died")
        return await self.copies.chunk(number, name, offset, size)

    async def end_copy(self, number: int) -> None:
        await self.copies.end(number)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "theirs").mkdir()
    return Source(tmp_path / "theirs")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def played(story: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        await story()

    in_virtual_time(play())


def test_a_copy_has_all_rows_that_were_applied_when_it_began(
    source: Source, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "CHUNK_BYTES", 100)

    async def story() -> None:
        partial, position = await fetch(source, mine, background)
        assert position == Position(1, 1)
        copy = Shard.open(partial, SPEC)
        assert copy.degraded == ()
        columns = ("vector", "year")
        wanted = source.shard.view.scroll(EVERYTHING, None, 100, columns)
        assert copy.view.scroll(EVERYTHING, None, 100, columns).equals(wanted)
        assert source.chunks > 10

    played(story)


def test_a_copy_that_began_is_what_it_was_whatever_the_shard_does_meanwhile(source: Source) -> None:
    async def story() -> None:
        copy = await source.copy()
        for seq in range(2, 6):
            source.churn(seq)
        for file in copy.files:
            data = await source.chunk(copy.number, file.name, 0, file.size + 1)
            assert len(data) == file.size
        await source.end_copy(copy.number)
        source.churn(6)
        assert not [file for file in copy.files if (source.directory / file.name).exists()]

    played(story)


def test_the_oldest_copy_is_given_up_for_another_and_its_reader_is_told(source: Source) -> None:
    async def story() -> None:
        first = await source.copy()
        others = [await source.copy() for _ in range(MOST_COPIES)]
        with pytest.raises(Mismatch, match="begin anew"):
            await source.chunk(first.number, first.files[0].name, 0, 10)
        for one in others:
            assert await source.chunk(one.number, one.files[0].name, 0, 10)
        await source.end_copy(first.number)  # it does not know yet
        for one in others:
            await source.end_copy(one.number)
        source.churn(2)
        assert not (source.directory / first.files[0].name).exists(), "nothing is held any more"

    played(story)


def test_a_shard_that_lacks_something_gives_no_copy(source: Source, mine: Path) -> None:
    async def story() -> None:
        source.lacks = "segment-1 is damaged"
        with pytest.raises(Degraded, match="segment-1 is damaged"):
            await fetch(source, mine, background)

    played(story)
    assert not list(mine.iterdir())


def test_a_source_that_dies_leaves_a_copy_that_counts_for_nothing(
    source: Source, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "CHUNK_BYTES", 100)

    async def story() -> None:
        source.dies_after = 3
        with pytest.raises(ConnectionError):
            await fetch(source, mine, background)
        assert not list(mine.glob("copy-*"))
        source.dies_after = 1_000_000
        partial, _ = await fetch(source, mine, background)
        assert Shard.open(partial, SPEC).view.count(EVERYTHING) == 10

    played(story)


def test_a_disk_that_is_full_here_ends_the_copy_there(
    source: Source, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install, "write_chunk", full)

    async def story() -> None:
        with pytest.raises(OSError, match="No space left"):
            await fetch(source, mine, background)
        with pytest.raises(Mismatch):
            await source.chunk(1, "any", 0, 1)

    played(story)


def test_an_empty_file_is_copied_too(mine: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    async def empty() -> Copy:
        return Copy(1, Position(1, 1), (CopyFile("deep/empty", 0),))

    async def nothing(*_: object) -> bytes:
        return b""

    monkeypatch.setattr(source, "copy", empty)
    monkeypatch.setattr(source, "chunk", nothing)

    async def story() -> None:
        partial, _ = await fetch(source, mine, background)
        assert (partial / "deep/empty").read_bytes() == b""

    played(story)

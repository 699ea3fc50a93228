"""How a replica gets the files of another one's shard: in chunks, while the other goes on."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from actors.vectors.entry import Position
from actors.vectors.replication import install
from actors.vectors.replication.errors import Degraded, Mismatch
from actors.vectors.replication.messages import Copy, CopyFile, Peer
from actors.vectors.shard import Shard

CHUNK_BYTES = 8 << 20
MOST_COPIES = 4
"""That are kept for others at once; the oldest is given up for another: who read it begins anew."""
Result = TypeVar("Result")


class Background(Protocol):
    def __call__(self, job: Callable[[], Result]) -> Awaitable[Result]: ...


class Copies:
    """Those of a shard that others read just now."""

    def __init__(
        self, shard: Callable[[], Shard], lacks: Callable[[], str], directory: Path, background: Background
    ) -> None:
        self._shard, self._lacks, self._directory, self._background = shard, lacks, directory, background
        self._numbers = itertools.count(1)
        self._held: dict[int, tuple[Shard, dict[str, Path]]] = {}

    async def begin(self) -> Copy:
        """Of all that is applied. Raises Degraded where a part of the shard is damaged, or is not there yet."""
        shard = self._shard()
        if lacks := self._lacks():
            raise Degraded(lacks)
        if len(self._held) >= MOST_COPIES:
            await self.end(next(iter(self._held)))

        def hold() -> tuple[Position, dict[str, Path]]:
            shard.flush()
            files = shard.receipts.files()
            return shard.receipt, {str(path.relative_to(self._directory)): path for path in files}

        position, files = await self._background(hold)
        number = next(self._numbers)
        self._held[number] = shard, files
        return Copy(number, position, tuple(CopyFile(name, path.stat().st_size) for name, path in files.items()))

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes:
        """Raises Mismatch where that copy is no longer kept."""
        if number not in self._held:
            raise Mismatch(f"copy {number} is no longer kept: begin anew")
        path = self._held[number][1][name]

        def read() -> bytes:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)

        return await self._background(read)

    async def end(self, number: int) -> None:
        shard, _ = self._held.pop(number, (None, None))
        if shard is not None:
            await self._background(shard.receipts.release)


async def fetch(peer: Peer, directory: Path, background: Background) -> tuple[Path, Position]:
    """The directory that has all files of the peer's shard, and how far they go. Raises ConnectionError."""
    copy = await peer.copy()
    try:
        partial = await background(lambda: install.begin(directory))
        for file in copy.files:
            for offset in range(0, max(file.size, 1), CHUNK_BYTES):
                data = await peer.chunk(copy.number, file.name, offset, CHUNK_BYTES)
                await background(lambda: install.write_chunk(partial, file.name, offset, data))  # noqa: B023
    finally:
        await peer.end_copy(copy.number)
    return partial, copy.position

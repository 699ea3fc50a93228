"""A log, a mark and a shard in memory that lose in a crash what a disk would lose."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from actors.vectors.entry import Entry, Position
from actors.vectors.log import LogCut
from actors.vectors.rows import UnknownField
from control.specs.collection import CollectionSpec


class MemoryLog:
    """`actors.vectors.log.Log`, but for damage."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.durable = 0
        self.full = False

    @property
    def first(self) -> int:
        return 1

    @property
    def last(self) -> Position:
        return Position(self.entries[-1].epoch, self.entries[-1].seq) if self.entries else Position(0, 0)

    @property
    def nbytes(self) -> int:
        return sum(len(entry.body) for entry in self.entries)

    def append(self, entries: Sequence[Entry]) -> None:
        if self.full and entries:
            raise OSError(28, "No space left on device")
        for entry in entries:
            if entry.seq != self.last.seq + 1 or entry.epoch < self.last.epoch:
                raise ValueError(f"{entry} does not follow on {self.last}")
            self.entries.append(entry)

    def sync(self) -> Position:
        if self.full and self.durable < len(self.entries):
            del self.entries[self.durable :]
            raise OSError(28, "No space left on device")
        self.durable = len(self.entries)
        return self.last

    def read(self, after: int, most_bytes: int = 1 << 20) -> list[Entry]:
        if after < self.first - 1:
            raise LogCut("cut")
        return self.entries[after : after + 50]

    def epoch_at(self, seq: int) -> int:
        return self.entries[seq - 1].epoch if seq else 0

    def cut_after(self, seq: int) -> None:
        del self.entries[seq:]
        self.durable = min(self.durable, seq)

    def cut_before(self, seq: int) -> None:
        pass

    def close(self) -> None:
        pass

    def crash(self, random: Random) -> None:
        """What was not synced is lost from some entry on."""
        del self.entries[random.randint(self.durable, len(self.entries)) :]
        self.durable = len(self.entries)


class MemoryMark:
    def __init__(self) -> None:
        self.synced, self.committed = Position(0, 0), 0

    def note(self, *, synced: Position | None = None, committed: int | None = None) -> None:
        self.synced = self.synced if synced is None else synced
        self.committed = self.committed if committed is None else committed

    def close(self) -> None:
        pass


class MemoryShard:
    """Keeps nothing over a crash: its receipt is at the beginning."""

    degraded = ()
    receipt = Position(0, 0)
    unknown = ""
    """What keeps it from applying anything until it is retuned."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    @property
    def applied(self) -> Position:
        return Position(self.entries[-1].epoch, self.entries[-1].seq) if self.entries else Position(0, 0)

    def apply(self, entries: Sequence[Entry]) -> None:
        if self.unknown:
            raise UnknownField(self.unknown)
        for entry in entries:
            assert entry.seq == len(self.entries) + 1
            self.entries.append(entry)

    def maintain(self) -> bool:
        return False

    def retune(self, spec: CollectionSpec) -> None:
        self.unknown = ""

    def close(self) -> None:
        pass

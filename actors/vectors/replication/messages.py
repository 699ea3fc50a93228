"""What replicas of a shard say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from actors.vectors.entry import Entry, Position


@dataclass(frozen=True)
class Append:
    """From the leader of a term: `entries` follow on `previous` in its log, which is final up to `committed`.

    `copy`: the leader's log no longer goes back to what the follower lacks: it has to fetch the files.
    """

    term: int
    leader: str
    previous: Position
    entries: tuple[Entry, ...]
    committed: int
    copy: bool = False

    @property
    def is_beat(self) -> bool:
        """It only asks whether the other still follows."""
        return not (self.entries or self.previous.seq or self.committed or self.copy)


@dataclass(frozen=True)
class Appended:
    """The follower's log has all that the leader's has up to `matched`, on disk; unless it does not `fit`: then the
    leader is to go on behind `matched`. `why` says what keeps it.
    """

    matched: int
    fits: bool = True
    why: str = ""


@dataclass(frozen=True)
class CopyFile:
    name: str
    size: int


@dataclass(frozen=True)
class Copy:
    """Files that together are a shard at `position`; they are kept while somebody reads them."""

    number: int
    position: Position
    files: tuple[CopyFile, ...]


@dataclass(frozen=True)
class Page:
    """Rows of a part in the order of ids, up to the id `last` (None: to the end), with all of the log up to `seq`.

    `passed` of the `total` rows of the shard were looked at for it.
    """

    rows: bytes
    last: int | str | None
    seq: int
    passed: int
    total: int


@dataclass(frozen=True)
class Tail:
    """Final `entries`, with `behind` more after them. `cut`: they are not kept any more; `over`: there are none, and
    will be none.
    """

    entries: tuple[Entry, ...] = ()
    behind: int = 0
    cut: bool = False
    over: bool = False


class Peer(Protocol):
    """Another replica of the shard. Every call may raise ConnectionError: it is not known whether it was heard."""

    async def append(self, request: Append) -> Appended: ...

    async def copy(self) -> Copy: ...

    async def chunk(self, number: int, name: str, offset: int, size: int) -> bytes: ...

    async def end_copy(self, number: int) -> None: ...


class Giver(Protocol):
    """A replica of a shard that rows come from (`feeding`). Every call may raise ConnectionError."""

    async def page(self, part: int, parts: int, after: int | str | None, seq: int) -> Page: ...

    async def tail(self, after: int, attempt: int) -> Tail: ...


class Other(Peer, Giver, Protocol):
    """Any other replica."""

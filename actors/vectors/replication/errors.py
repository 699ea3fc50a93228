"""What a replica answers instead of an answer. All cross processes, so each is made again from its arguments."""

from __future__ import annotations


class NotLeader(Exception):
    """Nothing was written: ask `leader`, who led in `epoch` as far as this replica knows; "" where it knows none."""

    def __init__(self, epoch: int, leader: str) -> None:
        super().__init__(epoch, leader)
        self.epoch, self.leader = epoch, leader

    def __str__(self) -> str:
        return f"this replica does not lead; the leader of epoch {self.epoch} is {self.leader or 'not known'}"


class Fenced(Exception):
    """This replica promised `epoch`, and takes nothing from before it."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch

    def __str__(self) -> str:
        return f"this replica has promised epoch {self.epoch}, and takes nothing of epochs before it"


class NoQuorum(Exception):
    """Nothing was written or read, as too few members of the shard answer their leader."""


class Refused(Exception):
    """Nothing was written: the disk is full, or the write is none that this shard can take. The message says which."""


class Moved(Exception):
    """The shard's rows are, or will soon be, in shards of another layout: ask with a newer table. Nothing was written,
    unless `maybe` an earlier attempt was.
    """

    def __init__(self, maybe: bool = False) -> None:
        super().__init__(maybe)
        self.maybe = maybe

    def __str__(self) -> str:
        return "the shard's rows move to other shards"


class Unknown(Exception):
    """A write was taken, and it is not known whether it lasts. To send it again is safe."""


class Behind(Exception):
    """The replica has not applied the log up to the reader's `token` in time."""

    def __init__(self, token: int, applied: int) -> None:
        super().__init__(token, applied)
        self.token, self.applied = token, applied

    def __str__(self) -> str:
        return f"this replica has applied the log up to {self.applied}, not up to {self.token}"


class Starting(Exception):
    """The replica does not know yet what was acknowledged while it was away: another one does."""

    def __str__(self) -> str:
        return "this replica has just started, and no leader has told it yet what was written meanwhile"


class Unaware(Exception):
    """The collection has a field that this replica has not been told of yet. Nothing was written."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field

    def __str__(self) -> str:
        return f"this replica has not been told of field {self.field!r} yet"


class Degraded(Exception):
    """A part of the replica's data is damaged. It answers nothing until it has a copy: never with rows missing."""


class Mismatch(Exception):
    """A copy was asked for that is no longer there."""

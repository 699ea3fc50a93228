"""A crash at a chosen point: the process of the control plane is gone between two of its writes or acts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control.kernel.plan import Record
from control.kernel.store import Store


class Crash(BaseException):
    """Not an Exception, as nothing in a dead process catches anything."""


class Fuse:
    """Burns at every point that is passed; raises Crash when one of the `lengths` has burnt down, then the next."""

    def __init__(self, lengths: Iterable[int] = ()) -> None:
        self._lengths = list(lengths)
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self._lengths:
            self._lengths[0] -= 1
            if self._lengths[0] < 0:
                self._lengths.pop(0)
                raise Crash


class FragileStore(Store):
    """A real store whose caller may die right before or right after a commit."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    def commit(self, records: Iterable[Record], **about: Any) -> None:
        self._fuse.point()
        super().commit(records, **about)
        self._fuse.point()

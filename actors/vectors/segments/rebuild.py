"""Makes one segment of several in a thread of its own, beside the searches: on one core, and after everybody else.

A crash leaves a directory that no manifest names.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from actors.vectors.segments.part import Part
from actors.vectors.segments.sealed import Sealed
from control.specs.collection import CollectionSpec

_NICE = 19


class Stopped(Exception):
    """The shard is closed before the segment is made."""


class Rebuild:
    """Of the rows of `parts` that live when it begins. `taken[i]` are those of part i, which follow each other in the
    segment `made`. `error` is why there is none.
    """

    def __init__(self, directory: Path, name: str, parts: tuple[Part, ...], spec: CollectionSpec) -> None:
        self.name, self.parts = name, parts
        self.taken = tuple(part.living() for part in parts)
        self.made: Sealed | None = None
        self.error: BaseException | None = None
        self.indexed = 0
        self._directory, self._spec = directory, spec
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rebuild {name}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def over(self, wait_seconds: float) -> bool:
        self._thread.join(wait_seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        sources = [(part.rowset, rows) for part, rows in zip(self.parts, self.taken, strict=True)]
        try:
            if any(len(rows) for rows in self.taken):
                self.made = Sealed.make(self._directory, self.name, sources, self._spec, self._between)
        except BaseException as error:  # told to whoever maintains the shard
            self.error = error

    def _between(self, indexed: int) -> None:
        self.indexed = indexed
        if self._stop.is_set():
            raise Stopped

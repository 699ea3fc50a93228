"""Keeps the scheduler's last decisions in a file, for `biplane simulate --replay`.

Nothing depends on it: a decision that cannot be written is lost, and a crash leaves at most one torn line at the end.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import queue
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from control.kernel.plan import Plan
from control.scheduler.decisions import PlanBody, from_line, to_line
from control.scheduler.state import Snapshot

log = logging.getLogger("biplane.recorder")

KEPT = 200
"""At least so many of the last decisions are kept, at most twice as many; fewer when they are large."""
MOST_BYTES = 16 << 20
_IN_HAND = 4
"""So many decisions may wait to be written; what comes faster is left out."""


class Recorder:
    """Writes in a thread of its own: whoever decides never waits for it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0
        self._queue: queue.Queue[tuple[Snapshot, Plan]] = queue.Queue(maxsize=_IN_HAND)
        threading.Thread(target=self._run, daemon=True).start()

    def note(self, snapshot: Snapshot, plan: Plan) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((snapshot, plan))

    def flush(self) -> None:
        """Wait until everything noted so far is written."""
        self._queue.join()

    def _run(self) -> None:
        while True:
            snapshot, plan = self._queue.get()
            try:
                self._write(to_line(snapshot, plan))
            except Exception:
                log.exception("a decision could not be recorded")
            finally:
                self._queue.task_done()

    def _write(self, line: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab", buffering=0) as file:
            file.write(gzip.compress(line + b"\n", compresslevel=1))
            size = file.tell()
        self._count += 1
        if self._count >= KEPT or size >= MOST_BYTES:
            self._count = 0
            os.replace(self._file, _older(self._file))


def recorded(file: Path) -> Iterator[tuple[Snapshot, PlanBody]]:
    """The decisions kept at `file`, oldest first. Raises FileNotFoundError, and ValueError for what is no decision."""
    files = [part for part in (_older(file), file) if part.exists()]
    if not files:
        raise FileNotFoundError(2, "no decision was recorded", str(file))
    for part in files:
        # What was being written when the process died ends the file.
        with gzip.open(part) as lines, contextlib.suppress(EOFError, gzip.BadGzipFile, zlib.error):
            for line in lines:
                yield from_line(line)


def _older(file: Path) -> Path:
    return file.with_name(f"older-{file.name}")

"""The peak memory of a plane: the summed proportional set size (PSS) of its processes, sampled while a block runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control.kernel.recover import processes_of

SAMPLE_SECONDS = 5.0  # a look at every mapping of every process costs a core a second
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class Peak:
    """`bytes` is the largest sum seen so far."""

    bytes = 0


@contextmanager
def peak_memory(plane_id: str) -> Iterator[Peak]:
    """Samples every SAMPLE_SECONDS until the block ends. PSS counts shared pages once, summed over processes."""
    peak, stop = Peak(), threading.Event()

    def sample() -> None:
        while not stop.is_set():
            peak.bytes = max(peak.bytes, sum(pss(p.pid) for p in processes_of(plane_id)))
            stop.wait(SAMPLE_SECONDS)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def pss(pid: int) -> int:
    """Bytes; 0 of a process that is gone."""
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0

"""A shard of many rows in a process of its own: built, searched while it is rebuilt, killed, opened again.

Run by `scripts.bench.vectors`; prints one object of JSON. Rows are 128 whole numbers from 0 to 255 around some
thousands of centres, as SIFT descriptors are, drawn from a seed. Memory is the process's anonymous and shared-file
resident memory (PSS), so mapped vectors count where they are in memory; the process is as it was before the first row.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.changes import to_bytes
from actors.vectors.entry import Entry, Kind
from actors.vectors.log import Log
from actors.vectors.query import Query
from actors.vectors.rows import row_schema, vector_column
from actors.vectors.shard import Shard
from control.specs.collection import CollectionSpec
from scripts.bench.vectors_data import Floats, K
from scripts.memory import pss

DIMENSION, CENTRES, SPREAD = 128, 4_096, 24.0
BATCH = 1_000
LINKS, OTHER = 16, 41
SEED = 3
UNSEALED = 0.02
LATENCY_SECONDS = 10.0
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Rows:
    """`count` rows; batch i is drawn from a seed of its own, so nobody has to hold them."""

    count: int

    def batch(self, first: int) -> Floats:
        centres = np.random.default_rng(SEED).uniform(0, 128, (CENTRES, DIMENSION))
        chance = np.random.default_rng((SEED, first))
        count = min(BATCH, self.count - first)
        drawn = centres[chance.integers(0, CENTRES, count)] + chance.normal(0, SPREAD, (count, DIMENSION))
        return np.clip(np.rint(drawn), 0, 255).astype(np.float32)

    def entries(self, spec: CollectionSpec, after: int, low: int, high: int) -> Iterator[Entry]:
        for seq, first in enumerate(range(low, high, BATCH), after + 1):
            vectors = self.batch(first)
            ids = pa.array(np.arange(first, first + len(vectors)))
            rows = pa.RecordBatch.from_arrays([ids, vector_column(vectors)], schema=row_schema(spec))
            yield Entry(1, seq, Kind.UPSERT, to_bytes(rows))


def measure(rows: int, directory: Path) -> dict[str, Any]:
    """Two processes, one after the other: the second opens what the first, killed, has left."""
    told = _in_a_process(_build, rows, directory)
    return {**told, **_in_a_process(_open, rows, directory)}


def _in_a_process(job: Any, rows: int, directory: Path) -> dict[str, Any]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=job, args=(rows, directory, theirs))
    process.start()
    theirs.close()
    told: dict[str, Any] = ours.recv()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    return told


def _build(count: int, directory: Path, told: Connection) -> None:
    rows, spec = Rows(count), _spec()
    log, shard = Log.open(directory / "log"), Shard.open(directory / "data", spec)
    raw, before, peak = count * DIMENSION * 4, pss(os.getpid()), Peak()
    sealed = count - int(count * UNSEALED)
    began = time.perf_counter()
    maintainer = threading.Thread(target=_keep_up, args=(shard,), daemon=True)
    maintainer.start()
    _write(log, shard, rows.entries(spec, 0, 0, sealed))
    written = time.perf_counter() - began
    shard.optimise()
    _until_whole(shard)
    built = time.perf_counter() - began
    after, most = pss(os.getpid()), peak.end()
    queries = rows.batch(0)[:200] + 1.0
    idle = _p99(shard, queries)
    shard.retune(_spec(ef_construction=OTHER))  # another index than it has
    time.sleep(1.0)
    busy = _p99(shard, queries)
    was_rebuilding = shard.figures().building_rows > 0
    _write(log, shard, rows.entries(spec, log.last.seq, sealed, count))
    links = count * (2 * LINKS + LINKS // 8) * 4
    told.send(
        {
            "rows": count,
            "written_s": round(written, 1),
            "built_s": round(built, 1),
            "memory_over_raw_and_links": round((after - before) / (raw + links), 3),
            "peak_over_raw_and_links": round((most - before) / (raw + links), 3),
            "idle_ms_p99": idle,
            "rebuild_ms_p99": busy,
            "was_rebuilding": was_rebuilding,
        }
    )
    time.sleep(3600)  # it is killed, in the middle of the rebuild


def _open(count: int, directory: Path, told: Connection) -> None:
    began = time.perf_counter()
    log, shard = Log.open(directory / "log"), Shard.open(directory / "data", _spec())
    while entries := log.read(shard.applied.seq):
        shard.apply(entries)
    opened = time.perf_counter() - began
    first = Rows(count).batch(0)[:1]
    (nearest,) = shard.view.search(Query(first, 1)).ids.to_pylist()
    if (found := shard.figures().rows) != count or nearest != 0:
        raise RuntimeError(f"{found} of {count} rows were there after the crash, and row {nearest} in place of row 0")
    told.send({"open_after_crash_s": round(opened, 2)})


def _spec(**index: Any) -> CollectionSpec:
    told = {"dimension": DIMENSION, "metric": "l2", "ids": "integer", "index": {"kind": "hnsw", "m": LINKS, **index}}
    return CollectionSpec.model_validate(told)


def _write(log: Log, shard: Shard, entries: Iterator[Entry]) -> None:
    for entry in entries:
        log.append([entry])
        log.sync()
        shard.apply([entry])


def _keep_up(shard: Shard) -> None:
    while True:
        if not shard.maintain():
            time.sleep(0.05)


def _until_whole(shard: Shard) -> None:
    while (now := shard.figures()).segments != 1 or now.exact_rows or now.building_rows:
        time.sleep(0.1)


def _p99(shard: Shard, queries: Floats) -> float:
    took, end = [], time.perf_counter() + LATENCY_SECONDS
    while time.perf_counter() < end:
        for query in queries:
            began = time.perf_counter()
            shard.view.search(Query(query[None], K))
            took.append(time.perf_counter() - began)
    return round(float(np.percentile(took, 99)) * 1000, 2)


class Peak:
    """The most memory that this process had, looked at twice a second."""

    def __init__(self) -> None:
        self._most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._most = max(self._most, pss(os.getpid()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biplane-million-") as directory:
        json.dump(measure(asked.rows, Path(directory)), sys.stdout)


if __name__ == "__main__":
    main()

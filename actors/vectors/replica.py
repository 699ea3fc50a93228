"""The Ray actor of one replica of a shard, and what it reports once a second.

It owns nothing that `ReplicaCore` does not own, but counters. When its process dies Ray starts it again with the same
request, and it goes on from its directory. Where the log can no longer be trusted the process ends itself for that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

from actors.claims import claim
from actors.vectors.meter import Meter
from actors.vectors.query import Hits, Query
from actors.vectors.ray_calls import RayCalls
from actors.vectors.replica_calls import READ_SECONDS, ReplicaCalls
from actors.vectors.replication.called_peer import CalledPeer
from actors.vectors.replication.writer import Write
from control.data_plane import write_vectors
from control.specs.collection import Acknowledgement
from control.specs.replica import ReplicaRequest
from control.vector_report import BEAT_SECONDS, VectorReport

_LOG = logging.getLogger(__name__)
DISK_SECONDS = 10.0
"""How often the sizes of all files are added up."""


class Replica(ReplicaCalls):
    def __init__(self, request: ReplicaRequest) -> None:
        self._request = request
        self._meter = Meter(super()._search)
        if request.devices:
            claim(Path(request.claims), request.devices, request.workload)
        calls, directory = RayCalls(), Path(request.directory)
        super().__init__(
            request.actor, directory, request.spec, request.generation, lambda name: CalledPeer(name, calls)
        )
        self._ending = asyncio.create_task(self._end_when_failed())
        self._reporting = asyncio.create_task(self._report())

    async def _end_when_failed(self) -> None:
        await self.failed()
        os._exit(1)

    # What it counts

    async def search(self, body: bytes, seconds: float = READ_SECONDS) -> bytes:
        with self._meter.timed("search_ms"):
            return await super().search(body, seconds)

    def _search(self, query: Query) -> Hits:
        with self._meter.timed("scan_ms"):
            hits = super()._search(query)
        self._meter.count("searches", len(query.vectors))
        if self._meter.wants_sample(time.monotonic()):
            self._searchers.submit(self._meter.sample, query, hits)
        return hits

    async def _write(self, write: Write, acknowledge: Acknowledgement, seconds: float) -> int:
        with self._meter.timed("write_ms"):
            seq = await super()._write(write, acknowledge, seconds)
        self._meter.count("writes", 1)
        return seq

    async def _report(self) -> None:
        """A store that is away costs reports, and nothing else."""
        process, trouble, disk_bytes, added_up = psutil.Process(), "", 0, 0.0
        while True:
            try:
                if time.monotonic() - added_up >= DISK_SECONDS:
                    disk_bytes, added_up = (
                        await asyncio.to_thread(_size, Path(self._request.directory)),
                        time.monotonic(),
                    )
                report = self._told(process.memory_info().rss, disk_bytes)
                await asyncio.to_thread(write_vectors, self._request.actor, report)
                trouble = ""
            except Exception as error:  # whatever it is, it is no reason to answer nobody
                if str(error) != trouble:
                    _LOG.warning("%s cannot report: %s", self._request.actor, error)
                trouble = str(error)
            await asyncio.sleep(BEAT_SECONDS)

    def _told(self, memory_bytes: int, disk_bytes: int) -> VectorReport:
        core, figures = self._core, self._core.machine.shard.figures()
        filling = core.filler.standing if core.filler else None
        counts, times = self._meter.counts(), self._meter.times()
        return VectorReport(
            rows=figures.rows,
            dead=figures.dead,
            growing=figures.growing_rows,
            segments=figures.segments,
            builds=int(figures.building_rows > 0),
            memory_bytes=memory_bytes,
            log_bytes=core.journal.nbytes,
            disk_bytes=disk_bytes,
            behind=core.journal.committed - core.machine.applied.value,
            leads=core.state.leads,
            recall=self._meter.recall,
            copied=filling.copied if filling else -1.0,
            uncopied=filling.behind if filling else 0,
            searches=counts.get("searches", 0),
            writes=counts.get("writes", 0),
            search_ms=times["search_ms"],
            scan_ms=times["scan_ms"],
            write_ms=times["write_ms"],
        )


def _size(directory: Path) -> int:
    """Of all files; those that go meanwhile count as nothing."""
    size = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size

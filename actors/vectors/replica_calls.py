"""What is asked of a replica, by whatever carries the calls: it is handed to `ReplicaCore`, searches go together.

Bodies are bytes: of rows, changes and ids an Arrow IPC stream, of queries and hits `wire`. They were checked by
`Shards`, the client.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import faiss
import pyarrow as pa

from actors.vectors.changes import from_bytes, of_ids, to_bytes, whole_rows
from actors.vectors.coalesce import Coalescer
from actors.vectors.entry import Kind
from actors.vectors.query import Hits, Level, Query
from actors.vectors.replication.feeding import page, tail
from actors.vectors.replication.messages import Other
from actors.vectors.replication.opening import open_replica
from actors.vectors.replication.reads import admit, knows
from actors.vectors.replication.standing import standing_of
from actors.vectors.replication.told_spec import ToldSpec
from actors.vectors.replication.writer import Item, Write
from actors.vectors.rows import ID, row_schema
from actors.vectors.snapshot import ShardCopy
from actors.vectors.snapshot_place import SnapshotPlace
from actors.vectors.snapshot_shard import save
from actors.vectors.wire import hits_bytes, read_query, read_text_query
from control.specs.collection import Acknowledgement, CollectionSpec
from control.specs.replica import Assignment, Promise, Standing
from control.specs.vector_filter import EVERYTHING, Filter

Result = TypeVar("Result")
SEARCH_THREADS = 4
"""Different kinds of searches, fetches and counts that go on at once."""
CORES, SHARED_FROM = len(os.sched_getaffinity(0)), 8
"""So many queries of one search are worth waking other cores for."""
WRITE_SECONDS, READ_SECONDS = 30.0, 10.0
"""How long a call goes on at most where it does not say."""


class ReplicaCalls:
    """To be made where its event loop runs; `generation` counts the specs of the collection."""

    def __init__(
        self, name: str, directory: Path, spec: CollectionSpec, generation: int, peers: Callable[[str], Other]
    ) -> None:
        self._directory = directory
        self._wanted = ToldSpec(generation, spec).or_newer(directory)
        self._searchers = ThreadPoolExecutor(SEARCH_THREADS, "search")
        self._core = open_replica(name, directory, self._wanted.spec, peers)
        self._core.start()
        self._coalescer = Coalescer(self._search, self._searchers)

    async def failed(self) -> None:
        """Returns when the process has to end, to open its directory anew."""
        await self._core.journal.failed.wait()

    # Reads

    async def search(self, body: bytes, seconds: float = READ_SECONDS) -> bytes:
        query = read_query(body)
        knows(self._core.machine.spec, query.where, query.columns)
        await admit(self._core, query.level, query.token, seconds)
        return hits_bytes(await self._coalescer.search(query))

    async def search_text(self, body: bytes, seconds: float = READ_SECONDS) -> bytes:
        query = read_text_query(body)
        knows(self._core.machine.spec, query.where, (*query.columns, *query.fields))
        return await self._read(
            lambda: hits_bytes(self._core.machine.shard.view.search_text(query)), query.level, query.token, seconds
        )

    async def fetch(
        self, ids: bytes, columns: tuple[str, ...], level: Level, token: int, seconds: float = READ_SECONDS
    ) -> bytes:
        wanted = from_bytes(ids).column(ID)
        knows(self._core.machine.spec, EVERYTHING, columns)
        return await self._read(
            lambda: to_bytes(self._core.machine.shard.view.fetch(wanted, columns)), level, token, seconds
        )

    async def scroll(
        self, where: Filter, after: int | str | None, limit: int, columns: tuple[str, ...], level: Level, token: int,
        seconds: float = READ_SECONDS,
    ) -> bytes:  # fmt: skip
        knows(self._core.machine.spec, where, columns)
        return await self._read(
            lambda: to_bytes(self._core.machine.shard.view.scroll(where, after, limit, columns)), level, token, seconds
        )

    async def count(self, where: Filter, level: Level, token: int, seconds: float = READ_SECONDS) -> int:
        knows(self._core.machine.spec, where)
        return await self._read(lambda: self._core.machine.shard.view.count(where), level, token, seconds)

    # Writes: each returns its sequence number, the token for reads, and how many rows it concerns

    async def upsert(
        self, rows: bytes, acknowledge: Acknowledgement, seconds: float = WRITE_SECONDS
    ) -> tuple[int, int]:
        count = from_bytes(rows).num_rows
        return await self._write(Write((Kind.UPSERT, rows), len(rows)), acknowledge, seconds), count

    async def delete(self, ids: bytes, acknowledge: Acknowledgement, seconds: float = WRITE_SECONDS) -> tuple[int, int]:
        count = from_bytes(ids).num_rows
        return await self._write(Write((Kind.DELETE, ids), len(ids)), acknowledge, seconds), count

    async def update(
        self, changes: Sequence[bytes], acknowledge: Acknowledgement, seconds: float = WRITE_SECONDS
    ) -> tuple[int, int]:
        """The columns of each change in the rows that are there; others are left out. All of it is one entry."""
        new, counts = [from_bytes(one) for one in changes], []
        knows(self._core.machine.spec, EVERYTHING, [name for one in new for name in one.schema.names])

        def whole(change: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
            kept = tuple(name for name in schema.names if name not in change.schema.names)
            return whole_rows(change, self._core.machine.shard.view.fetch(change.column(ID), kept), schema)

        def resolve() -> Item | None:
            schema = row_schema(self._core.machine.spec)  # now: a field may have come since this was asked
            rows = pa.concat_batches([whole(one, schema) for one in new])
            counts.append(rows.num_rows)
            return (Kind.UPSERT, to_bytes(rows)) if rows.num_rows else None

        touched = frozenset(itertools.chain.from_iterable(one.column(ID).to_pylist() for one in new))
        write = Write(lambda: self._in_thread(resolve), sum(map(len, changes)), touched)
        return await self._write(write, acknowledge, seconds), counts[-1]

    async def delete_where(
        self, where: Filter, acknowledge: Acknowledgement, seconds: float = WRITE_SECONDS
    ) -> tuple[int, int]:
        counts = []
        knows(self._core.machine.spec, where)

        def resolve() -> Item | None:
            ids = self._core.machine.shard.view.matching(where)
            counts.append(len(ids))
            return (Kind.DELETE, to_bytes(of_ids(ids))) if len(ids) else None

        write = Write(lambda: self._in_thread(resolve), 0, None)
        return await self._write(write, acknowledge, seconds), counts[-1]

    # Control

    async def promise(self, epoch: int) -> Promise:
        return await self._core.promise(epoch)

    async def lead(self, assignment: Assignment) -> None:
        await self._core.lead(assignment)

    async def follow(self, assignment: Assignment) -> None:
        await self._core.follow(assignment)

    async def retune(self, generation: int, spec: CollectionSpec) -> None:
        told = ToldSpec(generation, spec)
        await asyncio.to_thread(told.keep, self._directory)
        await self._core.machine.retune(spec)
        self._wanted = told

    async def standing(self) -> Standing:
        return standing_of(self._core, self._wanted.generation)

    async def optimise(self) -> None:
        """Has the background make one segment of all rows."""
        await self._core.machine.background(self._core.machine.shard.optimise)

    async def snapshot(self, url: str, seconds: float = READ_SECONDS) -> ShardCopy:
        """The shard as it is now, with all that was acknowledged, copied to its place at `url`.

        Only its leader does that, and begins within `seconds`. Raises as `search` does, and SnapshotError.
        """
        await admit(self._core, Level.QUORUM, 0, seconds)
        copy, directory = await self._core.copies.begin(), self._core.machine.shard.receipts.directory
        try:
            return await asyncio.to_thread(
                lambda: save(SnapshotPlace(url), self._core.me, directory, copy.files[-1].name)
            )
        finally:
            await self._core.copies.end(copy.number)

    # Other replicas

    async def peer(self, method: str, body: bytes) -> Any:
        """What `CalledPeer` calls."""
        match method:
            case "append":
                return await self._core.append(pickle.loads(body))
            case "copy":
                return await self._core.copies.begin()
            case "chunk":
                return await self._core.copies.chunk(*pickle.loads(body))
            case "page":
                return await page(self._core, *pickle.loads(body))
            case "tail":
                return await tail(self._core, *pickle.loads(body))
            case _:
                return await self._core.copies.end(pickle.loads(body))

    async def _write(self, write: Write, acknowledge: Acknowledgement, seconds: float) -> int:
        return await self._core.write(write, acknowledge, seconds)

    async def _read(self, job: Callable[[], Result], level: Level, token: int, seconds: float) -> Result:
        await admit(self._core, level, token, seconds)
        return await self._in_thread(job)

    async def _in_thread(self, job: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._searchers, job)

    def _search(self, query: Query) -> Hits:
        faiss.omp_set_num_threads(CORES if len(query.vectors) >= SHARED_FROM else 1)  # of this thread
        return self._core.machine.shard.view.search(query)

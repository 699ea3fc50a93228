"""Replicas as Ray actors of their own processes, asked through Ray by the client of the shards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import ray

from actors.vectors.query import Level, Query, Tuning
from actors.vectors.ray_calls import RayCalls
from actors.vectors.replica import Replica
from actors.vectors.replica_calls import CORES
from actors.vectors.scatter import Shards
from actors.vectors.wire import query_bytes, read_query
from control.kernel.ids import NAMESPACE
from control.kernel.replicas import THREADS
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment, ReplicaRequest
from control.specs.vector_filter import EVERYTHING
from scripts.bench.vectors_data import Case, Dataset, Floats, Ints, K
from scripts.bench.vectors_shard import batches, padded, where_of

NAME = "bench"
SETTLE_SECONDS = 600.0


class BenchReplica(Replica):
    async def echo(self, body: bytes, size: int) -> bytes:
        """Does nothing, on the very path of a search."""
        return bytes(size)

    async def bare(self, body: bytes, size: int) -> bytes:
        """Nothing but the sealed segment's own index, on the same path: what no replica could be faster than."""
        queries = read_query(body).vectors
        index = self._core.machine.shard.view.sealed[0].rowset.index
        faiss.omp_set_num_threads(CORES)
        index.search(queries, K, index.tuned(Tuning(), K))
        return bytes(size)

    async def settled(self) -> bool:
        """Whether all of its rows are in one segment with an index."""
        figures = self._core.machine.shard.figures()
        return figures.segments == 1 and not figures.exact_rows and not figures.building_rows


class HandleWay:
    """One shard on `replicas` actors; `load` writes the data set as the shard in the bench's own process has it."""

    def __init__(self, spec: CollectionSpec, directory: Path, replicas: int = 1) -> None:
        self.spec = spec
        names = tuple(f"vectors:{NAME}:bench:0:{number}" for number in range(replicas))
        made = ray.remote(num_cpus=0, max_restarts=-1, runtime_env={"env_vars": THREADS})(BenchReplica)
        self.actors = [
            made.options(name=name, namespace=NAMESPACE, max_concurrency=1000).remote(
                ReplicaRequest(name, str(directory / name.replace(":", "-")), 1, spec)
            )
            for name in names
        ]
        leading = Assignment(1, names[0], names)
        for actor in self.actors[1:]:
            ray.get(actor.follow.remote(leading))
        ray.get(self.actors[0].lead.remote(leading))
        row = {"shard": 0, "epoch": 1, "leader": names[0], "members": list(names)}
        table = {NAME: {"life": "bench", "generation": 1, "spec": spec.model_dump(mode="json"), "shards": [row]}}
        self.shards = Shards(lambda: table, RayCalls())

    async def load(self, data: Dataset) -> None:
        for batch in batches(data, self.spec, 0, data.sealed):
            written = await self.shards.upsert(NAME, batch, "all")
        for actor in self.actors:
            await actor.count.remote(EVERYTHING, Level.LOG, written.tokens[0])  # when it has applied all of it
        await self.optimise()
        for batch in batches(data, self.spec, data.sealed, len(data.base)):
            await self.shards.upsert(NAME, batch)
        await self.shards.delete(NAME, pa.array(np.flatnonzero(~data.alive)))

    async def optimise(self) -> None:
        """Returns when every replica has one segment with an index. Raises TimeoutError."""
        for actor in self.actors:
            await actor.optimise.remote()
        end = time.monotonic() + SETTLE_SECONDS
        while not all(await asyncio.gather(*(actor.settled.remote() for actor in self.actors))):
            if time.monotonic() > end:
                raise TimeoutError(f"the index was not built in {SETTLE_SECONDS:.0f} s")
            await asyncio.sleep(0.1)

    async def search(self, queries: Floats, case: Case | None = None) -> Ints:
        hits = (await self.shards.search(NAME, Query(queries, K, where_of(case)))).hits
        return padded(hits.counts, hits.ids.to_numpy())

    async def echo(self, queries: Floats) -> object:
        """As many bytes there and back as a search has."""
        body = query_bytes(Query(queries, K))
        return await self.actors[0].echo.remote(body, 200 * len(queries))

    async def bare(self, queries: Floats) -> object:
        body = query_bytes(Query(queries, K))
        return await self.actors[0].bare.remote(body, 200 * len(queries))

    def close(self) -> None:
        """Returns when their processes are gone."""
        for actor in self.actors:
            ray.kill(actor)
        for actor in self.actors:
            with suppress(ray.exceptions.RayError):
                ray.get(actor.standing.remote(), timeout=SETTLE_SECONDS)


async def timed_tasks(
    search: Callable[[Ints], Awaitable[object]], queries: int, batch: int, clients: int, seconds: float
) -> tuple[float, float]:
    """As `vectors_load.timed`, with tasks of one event loop in place of threads."""
    took: list[float] = []

    async def ask(client: int) -> None:
        chance = np.random.default_rng(client)
        while time.perf_counter() < end:
            began = time.perf_counter()
            await search(chance.integers(0, queries, batch))
            took.append(time.perf_counter() - began)

    await search(np.arange(min(batch, queries)))
    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(ask(client) for client in range(clients)))
    return len(took) * batch / (time.perf_counter() - began), float(np.percentile(took, 99) * 1000)

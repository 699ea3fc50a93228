"""How fast rows are written, each acknowledged when a quorum of processes has it synced to disk."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.vectors.rows import row_schema, vector_column
from control.specs.collection import CollectionSpec
from scripts.bench.vectors_handle import NAME, HandleWay

DIMENSION, BATCH, BATCHES, IN_FLIGHT = 128, 1_000, 100, 4


async def measure() -> Mapping[str, float]:
    """Vectors a second by how many replicas there are."""
    return {f"{replicas}_replicas_vectors_per_s": round(await _ingest(replicas)) for replicas in (1, 2, 3)}


async def _ingest(replicas: int) -> float:
    told = {"dimension": DIMENSION, "metric": "l2", "ids": "integer", "replicas": replicas}
    spec = CollectionSpec.model_validate(told)
    vectors = np.random.default_rng(0).normal(size=(BATCH, DIMENSION)).astype(np.float32)
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array(np.arange(first, first + BATCH)), vector_column(vectors)], schema=row_schema(spec)
        )
        for first in range(0, BATCH * BATCHES, BATCH)
    ]
    with tempfile.TemporaryDirectory(prefix="biplane-ingest-", ignore_cleanup_errors=True) as directory:
        way = HandleWay(spec, Path(directory), replicas)
        await way.shards.upsert(NAME, batches[0])
        began = time.perf_counter()
        waiting = asyncio.Semaphore(IN_FLIGHT)

        async def write(batch: pa.RecordBatch) -> None:
            async with waiting:
                await way.shards.upsert(NAME, batch)

        await asyncio.gather(*map(write, batches))
        took = time.perf_counter() - began
        way.close()
    return BATCH * BATCHES / took

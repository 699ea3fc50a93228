"""What HTTP adds to a search: through the gateway and the vectors API, against the shards' client, turn by turn.

    python -m scripts.bench.vectors_http --collection films [--rounds 300] [--json]

Asks the plane that is up, with queries of random numbers. Both ways are asked by this process, one after the other, so
that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from time import perf_counter
from typing import Any

import aiohttp
import numpy as np

from actors.vectors.query import Query
from actors.vectors.rows import Floats
from actors.vectors.scatter import Shards
from control.client import Client
from control.kernel.home import Home

WARM_UP = 30
K = 10


async def added(
    shards: Shards, session: aiohttp.ClientSession, name: str, queries: Floats, rounds: int
) -> list[dict[str, Any]]:
    """Two rows of the benchmark, `handle` and `http`: p50 and p99 of a single query in milliseconds."""
    search = f"/vectors/v1/collections/{name}/search"
    bodies = [json.dumps({"vector": one.tolist(), "k": K, "include": []}).encode() for one in queries]
    times: dict[str, list[float]] = {"handle": [], "http": []}
    for turn in range(WARM_UP + rounds):
        place = turn % len(queries)
        began = perf_counter()
        await shards.search(name, Query(queries[place : place + 1], K))
        between = perf_counter()
        async with session.post(search, data=bodies[place]) as answer:
            told = await answer.read()
        ended = perf_counter()
        if answer.status != 200:
            raise RuntimeError(f"the search was answered {answer.status}: {told[:500]!r}")
        if turn >= WARM_UP:
            times["handle"].append(1000 * (between - began))
            times["http"].append(1000 * (ended - between))
    return [
        {
            "system": "biplane",
            "mode": mode,
            "batch": 1,
            "clients": 1,
            "ms_p50": round(float(np.percentile(found, 50)), 3),
            "ms_p99": round(float(np.percentile(found, 99)), 3),
        }
        for mode, found in times.items()
    ]


async def _run(home: Home, name: str, rounds: int) -> list[dict[str, Any]]:
    from actors.vectors.ray_calls import RayCalls  # as in `main`
    from control.data_plane import read_vector_table

    def table() -> Any:
        raw = read_vector_table()
        return None if raw is None else json.loads(raw)["collections"]

    settings = Client(home).settings
    shards = Shards(table, RayCalls())
    row = await shards.table.collection(name)
    queries = np.random.default_rng(1).standard_normal((64, row.spec.dimension)).astype(np.float32)
    key = home.api_key_file.read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(settings.urls["gateway"].removesuffix("/v1"), headers=headers) as session:
        return await added(shards, session, name, queries, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    home = Home.find()
    os.environ.update(home.environment)
    from control.plane import connected  # Ray reads the environment as it is imported

    with connected(home, Client(home).settings):
        rows = asyncio.run(_run(home, asked.collection, asked.rounds))
    if asked.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(f"{row['mode']:>8} p50 {row['ms_p50']:.3f} ms, p99 {row['ms_p99']:.3f} ms")
    print(f"HTTP adds {rows[1]['ms_p50'] - rows[0]['ms_p50']:.3f} ms at p50")


if __name__ == "__main__":
    main()

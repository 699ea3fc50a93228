"""Replicas that answer what a test says, asked by the client of the shards as it asks actors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from actors.vectors.query import Hits
from actors.vectors.scatter import Shards
from actors.vectors.wire import hits_bytes, read_query
from control.specs.collection import CollectionSpec
from tests.fakes.virtual_time import in_virtual_time

Answer = Callable[..., Any]
IDS = pa.array(range(20), pa.int64())


def table_of(shards: int, leader: str = "a", epoch: int = 1) -> Mapping[str, Any]:
    spec = CollectionSpec(dimension=2, ids="integer", shards=shards, replicas=2).model_dump(mode="json")
    rows = [
        {"shard": one, "epoch": epoch, "leader": f"{leader}{one}", "members": [f"a{one}", f"b{one}"]}
        for one in range(shards)
    ]
    return {"c": {"life": "x", "generation": 1, "spec": spec, "shards": rows}}


class Actors:
    """What each actor answers, and whom was asked, and when."""

    def __init__(self, **answers: Answer) -> None:
        self.answers, self.asked, self.at = answers, list[str](), list[float]()

    async def __call__(self, actor: str, method: str, *words: Any) -> Any:
        self.asked.append(actor)
        self.at.append(asyncio.get_running_loop().time())
        answer = self.answers[actor](*words)
        return await answer if isinstance(answer, Awaitable) else answer


def run(actors: Actors, ask: Callable[[Shards], Awaitable[Any]], table: Mapping[str, Any]) -> Any:
    """In virtual time."""

    async def story() -> Any:
        return await ask(Shards(lambda: table, actors))

    return in_virtual_time(story())


def raising(error: Exception) -> Answer:
    def answer(*_: Any) -> Any:
        raise error

    return answer


def hits_of(score: float, seq: int = 1) -> Answer:
    def answer(body: bytes, _: float) -> bytes:
        n = len(read_query(body).vectors)
        scores = np.full(n, score, np.float32)
        return hits_bytes(Hits(np.ones(n, np.int32), pa.array([int(score)] * n), scores, None, seq))

    return answer

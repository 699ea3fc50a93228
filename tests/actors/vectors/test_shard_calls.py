import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from actors.vectors.answers import Failed
from actors.vectors.query import Level, Query
from actors.vectors.replication.errors import Behind, NotLeader, Refused
from actors.vectors.scatter import Shards
from control.specs.vector_filter import EVERYTHING
from tests.fakes.shard_actors import IDS, Actors, hits_of, raising, run, table_of


def test_a_write_follows_the_leader_that_a_replica_names_before_the_table_does() -> None:
    actors = Actors(a0=raising(NotLeader(2, "b0")), b0=lambda *_: (3, 20))
    assert run(actors, lambda shards: shards.delete("c", IDS), table_of(1)).tokens == {0: 3}
    assert actors.asked == ["a0", "b0"]


def test_a_write_whose_leader_dies_is_sent_again() -> None:
    answers = iter([ConnectionError("died"), ConnectionError("dead")])

    def answer(*_: Any) -> tuple[int, int]:
        for error in answers:
            raise error
        return 5, 20

    assert run(Actors(a0=answer), lambda shards: shards.delete("c", IDS), table_of(1)).tokens == {0: 5}


def test_a_reader_finds_the_replica_that_has_its_write() -> None:
    actors = Actors(a0=raising(Behind(9, 4)), b0=hits_of(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1)
    for _ in range(3):
        assert run(actors, lambda shards: shards.search("c", ask, {0: 9}), table_of(1)).hits.ids.to_pylist() == [2]


def test_a_replica_that_hangs_costs_a_read_half_of_its_time() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.sleep(60.0)

    actors = Actors(a0=silent, b0=hits_of(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1)

    async def thrice(shards: Shards) -> list[Any]:
        return [await shards.search("c", ask, None, 0, 0.2) for _ in range(3)]

    for found in run(actors, thrice, table_of(1)):
        assert found.hits.ids.to_pylist() == [2]
    assert actors.asked.count("a0") == 1  # then it is shunned


def test_a_fresh_read_asks_the_leader_only() -> None:
    actors = Actors(a0=hits_of(1.0), b0=hits_of(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1, level=Level.QUORUM)
    assert run(actors, lambda shards: shards.search("c", ask), table_of(1, "b")).hits.ids.to_pylist() == [2]
    assert actors.asked == ["b0"]


class Hung:
    """`a0` never answers, all others do so at once; the table names `b0` once `a0` was asked."""

    def __init__(self, says: Any) -> None:
        self.says, self.asked = says, list[str]()
        self.shards = Shards(lambda: table_of(1, "b", 2) if self.asked else table_of(1), self)

    async def __call__(self, actor: str, method: str, *words: Any) -> Any:
        self.asked.append(actor)
        return await asyncio.sleep(60.0) if actor == "a0" else self.says(*words)


def hung(says: Any, ask: Callable[[Shards], Awaitable[Any]]) -> Hung:
    plane = Hung(says)

    async def story() -> None:
        fresh = asyncio.create_task(plane.shards.table.run())
        async with asyncio.timeout(5.0):
            await ask(plane.shards)
        fresh.cancel()

    asyncio.run(story())
    return plane


def test_a_write_to_a_hung_leader_goes_to_the_next_one_as_soon_as_the_table_names_it() -> None:
    async def ask(shards: Shards) -> None:
        assert (await shards.delete("c", IDS)).tokens == {0: 3}

    assert hung(lambda *_: (3, 20), ask).asked == ["a0", "b0"]


def test_a_fresh_read_of_a_hung_leader_goes_to_the_next_one_too() -> None:
    async def ask(shards: Shards) -> None:
        assert await shards.count("c", EVERYTHING, Level.QUORUM) == 4

    assert hung(lambda *_: 4, ask).asked == ["a0", "b0"]


def test_a_write_that_was_given_up_and_refused_by_the_next_leader_may_have_been_written() -> None:
    async def ask(shards: Shards) -> None:
        with pytest.raises(Failed) as failed:
            await shards.delete("c", IDS)
        assert list(failed.value.unknown) == [0]

    hung(raising(Refused("the disk is full")), ask)

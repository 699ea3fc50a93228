import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from actors.vectors.answers import Failed
from actors.vectors.hedge import BURST, LEAST_SECONDS, SHARE
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


async def silent(*_: Any) -> None:
    await asyncio.sleep(60.0)


ASK = Query(np.zeros((1, 2), np.float32), 1)


async def searched(shards: Shards, seconds: float = 10.0) -> tuple[list[int], float]:
    """What one search found, and how long it took."""
    began = asyncio.get_running_loop().time()
    found = await shards.search("c", ASK, None, 0, seconds)
    return found.hits.ids.to_pylist(), asyncio.get_running_loop().time() - began


def test_a_replica_that_hangs_costs_one_read_a_moment_and_is_asked_last_then() -> None:
    actors = Actors(a0=silent, b0=hits_of(2.0))

    async def thrice(shards: Shards) -> list[Any]:
        return [await searched(shards) for _ in range(3)]

    found = run(actors, thrice, table_of(1))
    assert [ids for ids, _ in found] == [[2]] * 3
    assert [round(seconds, 2) for _, seconds in found] == [LEAST_SECONDS, 0.0, 0.0]
    assert actors.asked == ["a0", "b0", "b0", "b0"]


def test_the_first_answer_counts_and_the_slower_call_is_given_up() -> None:
    ended: list[str] = []

    async def slow(*_: Any) -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            ended.append("a0")

    async def once(shards: Shards) -> None:
        assert (await searched(shards))[0] == [2]
        await asyncio.sleep(0)
        assert ended == ["a0"]

    run(Actors(a0=slow, b0=hits_of(2.0)), once, table_of(1))


def test_a_replica_that_is_only_slow_may_still_win_over_the_one_that_was_asked_behind_it() -> None:
    async def slow(body: bytes, seconds: float) -> Any:
        await asyncio.sleep(1.0)
        return hits_of(1.0)(body, seconds)

    actors = Actors(a0=slow, b0=silent)
    found, seconds = run(actors, searched, table_of(1))
    assert (found, round(seconds, 2)) == ([1], 1.0)
    assert actors.asked == ["a0", "b0"]


def test_a_shard_that_hangs_is_not_asked_by_everybody_twice() -> None:
    actors = Actors(a0=silent, b0=silent)

    async def many(shards: Shards) -> None:
        asks = (shards.count("c", EVERYTHING, seconds=0.5) for _ in range(100))
        await asyncio.gather(*asks, return_exceptions=True)

    run(actors, many, table_of(1))
    late = sum(1 for at in actors.at[100:] if at < 0.25)
    assert 0 < late <= BURST + SHARE * 100
    assert len(actors.asked) == 200  # when half of the time is over, the other one is asked all the same


def test_a_replica_that_answers_again_is_asked_at_once_while_another_hangs() -> None:
    answers = iter([ConnectionError("dead"), ConnectionError("dead")])

    def back(body: bytes, seconds: float) -> Any:
        for error in answers:
            raise error
        return hits_of(2.0)(body, seconds)

    found, seconds = run(Actors(a0=silent, b0=back), searched, table_of(1))
    assert found == [2]
    assert seconds < 0.3


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

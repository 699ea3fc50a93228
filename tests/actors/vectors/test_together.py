import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.answers import Found, Unanswered
from actors.vectors.query import Hits, Query
from actors.vectors.together import MOST_BYTES, Asked, Together


def asked(value: float, name: str = "c", seconds: float = 1.0, dimension: int = 2, **tokens: int) -> Asked:
    by_shard = {int(shard[1:]): token for shard, token in tokens.items()}
    return Asked(name, Query(np.full((1, dimension), value, np.float32), 1), by_shard, 0, seconds)


class Answers:
    """Each query's nearest is the row that is called as its first number."""

    def __init__(self) -> None:
        self.calls: list[Asked] = []

    async def __call__(self, one: Asked) -> Found:
        self.calls.append(one)
        values = one.query.vectors[:, 0].astype(np.int64)
        if (values < 0).any():
            raise Unanswered({0: "no"})
        counts, scores = np.ones(len(values), np.int32), np.zeros(len(values), np.float32)
        return Found(Hits(counts, pa.array(values), scores, None, 1), {}, {0: 1})


def run(story: Callable[[Together], Awaitable[Any]]) -> tuple[Any, list[Asked]]:
    answers = Answers()

    async def begin() -> Any:
        return await story(Together(answers))

    return asyncio.run(begin()), answers.calls


async def ids(together: Together, *all_asked: Asked) -> list[int]:
    found = await asyncio.gather(*(together.search(one) for one in all_asked))
    return [one.hits.ids[0].as_py() for one in found]


def test_searches_of_one_turn_are_one_call_and_each_gets_its_own() -> None:
    found, calls = run(lambda together: ids(together, asked(1, s0=4), asked(2, s0=4), asked(3, s0=4)))
    assert found == [1, 2, 3]
    (call,) = calls
    assert call.tokens == {0: 4}


def test_nobody_waits_for_what_only_another_ones_token_asks_for() -> None:
    found, calls = run(lambda together: ids(together, asked(1), asked(2, s0=500_000), asked(3)))
    assert found == [1, 2, 3]
    assert sorted((len(one.query.vectors), one.tokens.get(0)) for one in calls) == [(1, 500_000), (2, None)]


def test_one_search_alone_goes_as_it_is() -> None:
    found, calls = run(lambda together: ids(together, asked(7)))
    assert found == [7]
    assert len(calls) == 1


def test_what_differs_in_more_than_vectors_goes_apart() -> None:
    found, calls = run(lambda together: ids(together, asked(1), asked(2, name="d"), asked(3, seconds=30.0)))
    assert found == [1, 2, 3]
    assert len(calls) == 3


def test_none_has_less_than_nine_tenths_of_its_time() -> None:
    times = [1.0 + 0.01 * step for step in range(100)]
    _, calls = run(lambda together: ids(together, *(asked(1, seconds=one) for one in times)))
    given = sorted(one.seconds for one in calls)
    assert all(max(left for left in given if left <= one) >= 0.9 * one for one in times)


def test_no_call_is_larger_than_what_goes_at_once() -> None:
    wide = MOST_BYTES // 4 // 2
    found, calls = run(lambda together: ids(together, *(asked(one, dimension=wide) for one in range(5))))
    assert found == list(range(5))
    assert [len(one.query.vectors) for one in calls] == [2, 2, 1]


def test_an_error_is_everybodys_and_the_next_turn_goes_on() -> None:
    async def story(together: Together) -> tuple[Any, list[int]]:
        failed = await asyncio.gather(together.search(asked(-1)), together.search(asked(2)), return_exceptions=True)
        return failed, await ids(together, asked(3))

    (failed, after), _ = run(story)
    assert [type(one) for one in failed] == [Unanswered, Unanswered]
    assert after == [3]


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async def story(together: Together) -> list[int]:
        leaving = asyncio.create_task(together.search(asked(1)))
        staying = asyncio.create_task(ids(together, asked(2)))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert run(story)[0] == [2]

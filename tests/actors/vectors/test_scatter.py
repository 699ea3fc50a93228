import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.changes import from_bytes
from actors.vectors.query import Hits, Level, Query
from actors.vectors.replication.errors import Behind, NotLeader, Unknown
from actors.vectors.routing import shard_of
from actors.vectors.scatter import Failed, Receipt, Shards, Unanswered, UnknownCollection
from actors.vectors.wire import hits_bytes, read_query
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING

Answer = Callable[..., Any]
IDS = pa.array(range(20), pa.int64())


def _table(shards: int, leader: str = "a") -> Mapping[str, Any]:
    spec = CollectionSpec(dimension=2, ids="integer", shards=shards, replicas=2).model_dump(mode="json")
    rows = [
        {"shard": one, "epoch": 1, "leader": f"{leader}{one}", "members": [f"a{one}", f"b{one}"]}
        for one in range(shards)
    ]
    return {"c": {"life": "x", "generation": 1, "spec": spec, "shards": rows}}


class Actors:
    """What each actor answers, and whom was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers, self.asked = answers, list[str]()

    async def __call__(self, actor: str, method: str, *words: Any) -> Any:
        self.asked.append(actor)
        answer = self.answers[actor](*words)
        return await answer if isinstance(answer, Awaitable) else answer


def _run(actors: Actors, ask: Callable[[Shards], Awaitable[Any]], table: Mapping[str, Any]) -> Any:
    async def story() -> Any:
        return await ask(Shards(lambda: table, actors))

    return asyncio.run(story())


def _raise(error: Exception) -> Answer:
    def answer(*_: Any) -> Any:
        raise error

    return answer


def _hits(score: float) -> Answer:
    def answer(body: bytes, _: float) -> bytes:
        n = len(read_query(body).vectors)
        scores = np.full(n, score, np.float32)
        return hits_bytes(Hits(np.ones(n, np.int32), pa.array([int(score)] * n), scores, None, 1))

    return answer


def test_each_id_goes_to_its_shard_and_the_receipt_has_a_token_of_each() -> None:
    got: dict[str, list[int]] = {}

    def keep(name: str, seq: int) -> Answer:
        def answer(body: bytes, level: str, _: float) -> tuple[int, int]:
            got[name] = from_bytes(body).column("id").to_pylist()
            assert level == "quorum"
            return seq, len(got[name])

        return answer

    actors = Actors(a0=keep("a0", 7), a1=keep("a1", 9))
    receipt = _run(actors, lambda shards: shards.delete("c", IDS), _table(2))
    assert receipt == Receipt({0: 7, 1: 9}, 20)
    assert got == {f"a{one}": [id for id in range(20) if shard_of(IDS, 2)[id] == one] for one in (0, 1)}


def test_a_write_follows_the_leader_that_a_replica_names_before_the_table_does() -> None:
    actors = Actors(a0=_raise(NotLeader(2, "b0")), b0=lambda *_: (3, 20))
    assert _run(actors, lambda shards: shards.delete("c", IDS), _table(1)).tokens == {0: 3}
    assert actors.asked == ["a0", "b0"]


def test_a_write_whose_leader_dies_is_sent_again() -> None:
    answers = iter([ConnectionError("died"), ConnectionError("dead")])

    def answer(*_: Any) -> tuple[int, int]:
        for error in answers:
            raise error
        return 5, 20

    assert _run(Actors(a0=answer), lambda shards: shards.delete("c", IDS), _table(1)).tokens == {0: 5}


def test_what_is_not_acknowledged_says_of_each_shard_what_is_known() -> None:
    actors = Actors(a0=lambda *_: (4, 1), a1=_raise(Unknown("late")), a2=_raise(NotLeader(1, "")))
    with pytest.raises(Failed) as failed:
        _run(actors, lambda shards: shards.delete("c", IDS, None, 0.3), _table(3))
    assert failed.value.written == {0: 4}
    assert failed.value.unknown == {1: "late"}
    assert list(failed.value.refused) == [2]
    assert "it is not known whether shard 1 has it" in str(failed.value)


def test_a_search_takes_the_nearest_of_all_shards() -> None:
    actors = Actors(a0=_hits(3.0), b0=_hits(3.0), a1=_hits(8.0), b1=_hits(8.0))
    found = _run(actors, lambda shards: shards.search("c", Query(np.zeros((2, 2), np.float32), 1)), _table(2))
    assert found.hits.ids.to_pylist() == [8, 8]
    assert not found.missing


def test_a_shard_that_does_not_answer_in_time_is_said_to_be_missing() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.sleep(60.0)

    actors = Actors(a0=_hits(3.0), b0=_hits(3.0), a1=silent, b1=silent)
    ask = Query(np.zeros((1, 2), np.float32), 1)
    found = _run(actors, lambda shards: shards.search("c", ask, None, 0, 0.2), _table(2))
    assert found.hits.ids.to_pylist() == [3]
    assert list(found.missing) == [1]


def test_a_replica_that_hangs_costs_a_read_half_of_its_time() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.sleep(60.0)

    actors = Actors(a0=silent, b0=_hits(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1)

    async def thrice(shards: Shards) -> list[Any]:
        return [await shards.search("c", ask, None, 0, 0.2) for _ in range(3)]

    for found in _run(actors, thrice, _table(1)):
        assert found.hits.ids.to_pylist() == [2]
    assert actors.asked.count("a0") == 1  # then it is shunned


def test_a_reader_finds_the_replica_that_has_its_write() -> None:
    actors = Actors(a0=_raise(Behind(9, 4)), b0=_hits(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1)
    for _ in range(3):
        assert _run(actors, lambda shards: shards.search("c", ask, {0: 9}), _table(1)).hits.ids.to_pylist() == [2]


def test_a_fresh_read_asks_the_leader_only() -> None:
    actors = Actors(a0=_hits(1.0), b0=_hits(2.0))
    ask = Query(np.zeros((1, 2), np.float32), 1, level=Level.QUORUM)
    assert _run(actors, lambda shards: shards.search("c", ask), _table(1, "b")).hits.ids.to_pylist() == [2]
    assert actors.asked == ["b0"]


def test_a_count_with_a_shard_missing_is_no_count() -> None:
    actors = Actors(
        a0=lambda *_: 3, b0=lambda *_: 3, a1=_raise(ConnectionError("dead")), b1=_raise(ConnectionError("dead"))
    )
    with pytest.raises(Unanswered, match="shard 1 does not answer: dead"):
        _run(actors, lambda shards: shards.count("c", EVERYTHING, seconds=0.2), _table(2))


def test_the_last_table_holds_when_none_can_be_read() -> None:
    tables = [_table(1)]

    async def story() -> None:
        shards = Shards(tables.pop, Actors(a0=lambda *_: (1, 1)))
        await shards.refresh()
        await shards.refresh()
        assert (await shards.delete("c", IDS)).tokens == {0: 1}
        with pytest.raises(UnknownCollection, match="found no collection 'd': there are c"):
            await shards.collection("d")

    asyncio.run(story())

import asyncio
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.vectors.answers import Failed, Receipt, Unanswered
from actors.vectors.changes import from_bytes
from actors.vectors.query import Query
from actors.vectors.replication.errors import NotLeader, Unknown
from actors.vectors.routing import shard_of
from control.specs.vector_filter import EVERYTHING
from tests.fakes.shard_actors import IDS, Actors, Answer, hits_of, raising, run, table_of

CHANGED = ((0, "year"), (10, "rating"))


def test_each_id_goes_to_its_shard_and_the_receipt_has_a_token_of_each() -> None:
    got: dict[str, list[int]] = {}

    def keep(name: str, seq: int) -> Answer:
        def answer(body: bytes, level: str, _: float) -> tuple[int, int]:
            got[name] = from_bytes(body).column("id").to_pylist()
            assert level == "quorum"
            return seq, len(got[name])

        return answer

    actors = Actors(a0=keep("a0", 7), a1=keep("a1", 9))
    receipt = run(actors, lambda shards: shards.delete("c", IDS), table_of(2))
    assert receipt == Receipt({0: 7, 1: 9}, 20)
    assert got == {f"a{one}": [id for id in range(20) if shard_of(IDS, 2)[id] == one] for one in (0, 1)}


def test_the_changes_of_each_shard_go_to_it_together() -> None:
    got: dict[str, list[list[int]]] = {}

    def keep(name: str) -> Answer:
        def answer(changes: list[bytes], level: str, _: float) -> tuple[int, int]:
            got[name] = [from_bytes(one).column("id").to_pylist() for one in changes]
            return 7, 1

        return answer

    changes = [pa.record_batch({"id": IDS.slice(start, 10), name: IDS.slice(start, 10)}) for start, name in CHANGED]
    receipt = run(Actors(a0=keep("a0"), a1=keep("a1")), lambda shards: shards.update("c", changes), table_of(2))
    assert receipt.tokens == {0: 7, 1: 7}
    owners = shard_of(IDS, 2)
    for one in (0, 1):
        assert got[f"a{one}"] == [[id for id in range(*part) if owners[id] == one] for part in ((0, 10), (10, 20))]


def test_what_is_not_acknowledged_says_of_each_shard_what_is_known() -> None:
    actors = Actors(a0=lambda *_: (4, 1), a1=raising(Unknown("late")), a2=raising(NotLeader(1, "")))
    with pytest.raises(Failed) as failed:
        run(actors, lambda shards: shards.delete("c", IDS, None, 0.3), table_of(3))
    assert failed.value.written == {0: 4}
    assert failed.value.unknown == {1: "late"}
    assert list(failed.value.refused) == [2]
    assert "it is not known whether shard 1 has it" in str(failed.value)


def test_a_search_takes_the_nearest_of_all_shards() -> None:
    actors = Actors(a0=hits_of(3.0, 5), b0=hits_of(3.0, 5), a1=hits_of(8.0, 9), b1=hits_of(8.0, 9))
    found = run(actors, lambda shards: shards.search("c", Query(np.zeros((2, 2), np.float32), 1)), table_of(2))
    assert found.hits.ids.to_pylist() == [8, 8]
    assert not found.missing
    assert found.tokens == {0: 5, 1: 9}


def test_a_shard_that_does_not_answer_in_time_is_said_to_be_missing() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.sleep(60.0)

    actors = Actors(a0=hits_of(3.0), b0=hits_of(3.0), a1=silent, b1=silent)
    ask = Query(np.zeros((1, 2), np.float32), 1)
    found = run(actors, lambda shards: shards.search("c", ask, None, 0, 0.2), table_of(2))
    assert found.hits.ids.to_pylist() == [3]
    assert list(found.missing) == [1]
    assert list(found.tokens) == [0]


def test_a_count_with_a_shard_missing_is_no_count() -> None:
    actors = Actors(
        a0=lambda *_: 3, b0=lambda *_: 3, a1=raising(ConnectionError("dead")), b1=raising(ConnectionError("dead"))
    )
    with pytest.raises(Unanswered, match="shard 1 does not answer: dead"):
        run(actors, lambda shards: shards.count("c", EVERYTHING, seconds=0.2), table_of(2))

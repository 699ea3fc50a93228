import asyncio
from typing import Any

import pytest

from actors.vectors.answers import UnknownCollection
from actors.vectors.collection_table import CollectionTable
from actors.vectors.replication.errors import NotLeader
from actors.vectors.scatter import Shards
from tests.fakes.shard_actors import IDS, Actors, table_of


def test_the_last_table_holds_when_none_can_be_read() -> None:
    tables = [table_of(1)]

    async def story() -> None:
        shards = Shards(tables.pop, Actors(a0=lambda *_: (1, 1)))
        await shards.table.refresh()
        await shards.table.refresh()
        assert (await shards.delete("c", IDS)).tokens == {0: 1}
        with pytest.raises(UnknownCollection, match="found no collection 'd': there are c"):
            await shards.table.collection("d")

    asyncio.run(story())


def test_a_deleted_collection_leaves_what_goes_on_in_it_alone() -> None:
    tables: list[Any] = [{}, table_of(1)]

    async def story() -> None:
        table = CollectionTable(tables.pop)
        await table.refresh()
        async with table.while_leading("c", 0, "a0", 20.0):
            await table.refresh()
        assert not table.rows
        with pytest.raises(UnknownCollection, match="'c' was deleted meanwhile"):
            table.shard("c", 0)

    asyncio.run(story())


def test_what_an_older_leader_says_of_the_leader_is_not_believed() -> None:
    async def story() -> None:
        table = CollectionTable(lambda: table_of(1, "b", 3))
        await table.refresh()
        table.learn("c", 0, NotLeader(2, "a0"))
        assert not table.superseded("c", 0, "b0")
        table.learn("c", 0, NotLeader(4, "a0"))
        assert table.superseded("c", 0, "b0")

    asyncio.run(story())

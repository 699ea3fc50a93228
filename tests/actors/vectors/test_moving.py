"""Rows move to other shards while clients write, read and delete: with real replicas and the client of the shards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.vectors.answers import Unanswered, UnknownToken
from actors.vectors.changes import to_bytes
from actors.vectors.log import LogCut
from actors.vectors.query import Level
from actors.vectors.replication import feeding, filler, progress
from actors.vectors.replication.errors import Moved
from actors.vectors.snapshot_taking import take
from control.specs.collection import CollectionSpec
from control.specs.replica import Assignment, Fill, Filling, Move, Source
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_plane import VectorPlane, restoring
from tests.fakes.vector_rows import COLUMNS, batch_of, spec_of

Story = Callable[[VectorPlane], Awaitable[None]]
NAME = "c"


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    monkeypatch.setattr(feeding, "PAGE_BYTES", 16 << 10)  # many pages
    monkeypatch.setattr(filler, "IDLE_SECONDS", 0.01)

    def played(story: Story) -> None:
        async def story_of() -> None:
            plane = VectorPlane(tmp_path)
            try:
                async with asyncio.timeout(20.0):
                    await story(plane)
            finally:
                await plane.close()

        asyncio.run(story_of())

    return played


def spec(shards: int = 1) -> CollectionSpec:
    return CollectionSpec.model_validate({**spec_of("flat").model_dump(mode="json"), "shards": shards, "replicas": 2})


def rows(*numbers: int, year: int = 2000) -> pa.RecordBatch:
    return batch_of(spec(), [(one, ([float(one), 0.0, 1.0], year, "red")) for one in numbers])


async def contents(
    plane: VectorPlane, level: Level = Level.QUORUM, tokens: Mapping[int, int] | None = None
) -> dict[int, int]:
    found = await plane.shards.scroll(NAME, EVERYTHING, None, 5000, COLUMNS, level, tokens, 5.0)
    return dict(zip(found["id"].to_pylist(), found["year"].to_pylist(), strict=True))


async def shown(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.01)


class Moves:
    """What vectors control would tell the replicas: of `old` shards and of the next layout, whose numbers follow."""

    def __init__(self, plane: VectorPlane, old: int, new: int) -> None:
        self.plane, self.old, self.new = plane, range(old), range(old, old + new)
        self.number = 1

    def members(self, shard: int) -> tuple[str, ...]:
        return tuple(f"vectors:{NAME}:12345678:{shard}:{replica}" for replica in range(2))

    async def tell(self, attempt: int = 0, closed: bool = False) -> None:
        self.number += 1
        for shard in self.old:
            await self._tell(shard, Move(True, attempt if closed else 0))
        sources = tuple(Source(self.members(one), one, len(self.old)) for one in self.old)
        for shard in self.new:
            for member in self.members(shard):
                if member not in self.plane.replicas:
                    self.plane.start(member, spec(len(self.new)))
            await self._tell(shard, Move(fill=Fill(shard - self.new.start, len(self.new), sources, attempt)))

    async def _tell(self, shard: int, move: Move) -> None:
        members = self.members(shard)
        assignment = Assignment(1, members[0], members, number=self.number, move=move)
        await self.plane.replicas[members[0]].lead(assignment)
        if members[1] in self.plane.replicas:
            await self.plane.replicas[members[1]].follow(assignment)

    async def filling(self) -> list[Filling]:
        found = [(await self.plane.replicas[self.members(one)[0]].standing()).filling for one in self.new]
        return [one for one in found if one is not None]

    async def scanned(self) -> bool:
        return all(one.copied == 1 and not one.behind for one in await self.filling())

    async def filled(self, attempt: int) -> bool:
        return all(one.filled == attempt for one in await self.filling())

    async def switch(self) -> None:
        """The table names the new shards, and these are told that they have no more to get."""
        told = await self.filling()
        self.plane.table[NAME]["shards"] = [
            {
                "shard": one,
                "epoch": 1,
                "leader": self.members(one)[0],
                "members": self.members(one),
                "filled": at.position,
            }
            for one, at in zip(self.new, told, strict=True)
        ]
        self.number += 1
        for shard in self.new:
            await self._tell(shard, Move())


async def begun(plane: VectorPlane, old: int, new: int) -> Moves:
    """Rows 0 to 999, without 100 to 199, sealed and growing."""
    await plane.create(NAME, spec(old))
    await plane.shards.upsert(NAME, rows(*range(600)))
    await plane.shards.optimise(NAME)
    await plane.shards.upsert(NAME, rows(*range(600, 1000)))
    await plane.shards.delete(NAME, pa.array(range(100, 200)))
    moves = Moves(plane, old, new)
    await moves.tell()
    return moves


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3), (3, 1)])
def test_all_rows_are_in_the_new_shards_with_what_was_written_meanwhile(play: Any, old: int, new: int) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, old, new)
        for number in range(20):
            await plane.shards.upsert(NAME, rows(number, 1000 + number, year=2001))
            await plane.shards.delete(NAME, pa.array([300 + number]))
        await shown(moves.scanned)
        await plane.shards.upsert(NAME, rows(5, year=2002))
        await moves.tell(1, closed=True)
        waiting = asyncio.create_task(plane.shards.upsert(NAME, rows(*range(20), year=2003)))
        fresh = asyncio.create_task(contents(plane))
        await shown(lambda: moves.filled(1))
        assert not waiting.done()
        assert not fresh.done()
        await moves.switch()
        receipt = await waiting
        assert set(receipt.tokens) <= set(moves.new)
        assert receipt.rows == 20
        expected = {one: 2000 for one in range(1000) if not (100 <= one < 200 or 300 <= one < 320)}
        expected |= dict.fromkeys(range(1000, 1020), 2001) | dict.fromkeys(range(20), 2003)
        assert await contents(plane) == expected
        assert (await fresh).keys() == expected.keys()
        assert await contents(plane, Level.LOG, receipt.tokens) == expected
        assert (await contents(plane, Level.LOG)).keys() == expected.keys()  # whichever replica is asked
        counts = [await plane.replicas[moves.members(one)[0]].count(EVERYTHING, Level.QUORUM, 0) for one in moves.new]
        assert sum(counts) == len(expected)

    play(story)


def test_who_leads_next_begins_anew_and_rows_that_were_deleted_meanwhile_are_not_left(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 2)
        await shown(moves.scanned)
        lost = moves.members(moves.new[0])[0]
        with pytest.raises(Moved):
            await plane.replicas[lost].upsert(to_bytes(rows(7)), "quorum")
        await plane.end(lost)
        await plane.shards.delete(NAME, pa.array(range(400)))
        plane.start(lost, spec(2))  # it leads on
        await shown(moves.scanned)
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.switch()
        assert (await contents(plane)).keys() == set(range(400, 1000))

    play(story)


def test_a_leader_that_starts_again_after_it_had_all_rows_takes_none_over_what_clients_wrote(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 1)
        await shown(moves.scanned)
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        (leader, _), (member, *_) = moves.members(1), moves.members(0)
        await plane.end(leader)  # before it hears that it has no more to get
        plane.start(leader, spec(1))
        write = plane.replicas[leader].upsert
        await shown(lambda: _succeeds(write(to_bytes(rows(7, year=2009)), "quorum")))
        await asyncio.sleep(0.3)
        assert await plane.replicas[leader].count(EVERYTHING, Level.QUORUM, 0) == 900
        await moves.switch()
        assert (await contents(plane))[7] == 2009
        with pytest.raises(Moved):
            await plane.replicas[member].upsert(to_bytes(rows(7)), "quorum")

    play(story)


async def _succeeds(call: Awaitable[Any]) -> bool:
    try:
        await call
    except Exception:
        return False
    return True


def test_a_shard_that_is_opened_again_serves_on_and_what_was_filled_counts_no_more(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 2)
        await shown(moves.scanned)
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.tell(0)
        await plane.shards.upsert(NAME, rows(2, year=2005))
        await shown(moves.scanned)
        await moves.tell(2, closed=True)
        await shown(lambda: moves.filled(2))
        await moves.switch()
        assert (await contents(plane))[2] == 2005

    play(story)


def test_what_a_source_does_not_keep_in_its_log_any_more_is_copied_anew(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 2)
        await shown(moves.scanned)
        journal, cuts = plane.replicas[moves.members(0)[0]]._core.journal, list[int]()
        behind = journal.behind

        async def cut(seq: int) -> Any:
            if len(cuts) < 2:
                cuts.append(seq)
                raise LogCut("cut")
            return await behind(seq)

        monkeypatch.setattr(journal, "behind", cut)
        await plane.shards.delete(NAME, pa.array(range(50)), "one")
        await plane.shards.upsert(NAME, rows(7, year=2004), "one")
        await shown(lambda: _all(len(cuts) == 2))
        await shown(moves.scanned)
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.switch()
        found = await contents(plane)
        assert found.keys() == {7} | set(range(50, 1000)) - set(range(100, 200))
        assert found[7] == 2004

    play(story)


async def _all(true: bool) -> bool:
    return true


def test_a_source_that_has_not_heard_that_it_is_closed_is_waited_for(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 2)
        await shown(moves.scanned)
        await moves.tell(1, closed=False)
        await asyncio.sleep(0.2)
        assert [one.filled for one in await moves.filling()] == [0, 0]
        await plane.shards.upsert(NAME, rows(3, year=2006))
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.switch()
        assert (await contents(plane))[3] == 2006

    play(story)


def test_a_snapshot_has_the_shards_that_serve_and_is_restored_into_as_many(play: Any, tmp_path: Path) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 2)
        await shown(moves.scanned)
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.switch()
        snapshot = await take(plane.shards, NAME, f"file://{tmp_path}/snapshot", 10.0)
        assert (snapshot.spec.shards, [one.shard for one in snapshot.shards]) == (2, [1, 2])
        await plane.create("again", restoring(snapshot.spec, f"file://{tmp_path}/snapshot", snapshot.sha256))
        expected = await contents(plane)
        again = await plane.shards.scroll("again", EVERYTHING, None, 5000, COLUMNS, Level.QUORUM, seconds=10.0)
        assert again["id"].to_pylist() == sorted(expected)
        assert await plane.shards.count("again", EVERYTHING, Level.QUORUM) == len(expected) == 900

    play(story)


def test_a_source_says_that_it_has_no_more_under_its_lease_only(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LEASE_SECONDS", 0.5)

    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 1)
        await shown(moves.scanned)
        follower = moves.members(0)[1]
        await plane.end(follower)
        await asyncio.sleep(0.6)
        await moves.tell(1, closed=True)
        await asyncio.sleep(0.3)
        (filling,) = await moves.filling()
        assert filling.filled == 0
        assert "1 of 2 members do not follow" in filling.trouble
        plane.start(follower, spec())
        await shown(lambda: moves.filled(1))

    play(story)


def test_an_order_that_is_older_than_what_a_leader_knows_opens_nothing(play: Any) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 1, 1)
        await moves.tell(1, closed=True)
        moves.number -= 2
        await moves.tell(0)
        assert not await _succeeds(plane.replicas[moves.members(0)[0]].delete_where(EVERYTHING, "quorum"))

    play(story)


def test_tokens_of_an_earlier_layout_are_satisfied_and_those_of_a_later_one_have_the_table_read_again(
    play: Any,
) -> None:
    async def story(plane: VectorPlane) -> None:
        moves = await begun(plane, 2, 1)
        await shown(moves.scanned)
        receipt = await plane.shards.upsert(NAME, rows(1, 2, 3, 4, year=2007))
        await moves.tell(1, closed=True)
        await shown(lambda: moves.filled(1))
        await moves.switch()
        newest = {2: 5}  # the client's table is still the old one
        assert len(await plane.shards.fetch(NAME, pa.array([1]), (), Level.LOG, newest, 5.0)) == 1
        assert set(receipt.tokens) <= {0, 1}
        found = await plane.shards.fetch(NAME, pa.array([1, 2]), ("year",), Level.LOG, receipt.tokens, 5.0)
        assert found["year"].to_pylist() == [2007, 2007]
        with pytest.raises(UnknownToken, match="found shard 7"):
            await plane.shards.count(NAME, EVERYTHING, Level.LOG, {7: 1})
        plane.table.clear()
        plane.shards.table._door = lambda: None
        with pytest.raises(Unanswered, match="cannot be read"):
            await plane.shards.count(NAME, EVERYTHING, Level.LOG, {7: 1})

    play(story)

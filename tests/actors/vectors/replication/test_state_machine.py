"""The final entries of a log, applied to a shard once each; and what a reader is to know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from actors.vectors.entry import Entry, Kind
from actors.vectors.replication.journal import Journal
from actors.vectors.replication.state_machine import ALONE_SECONDS, SHOWN_SECONDS, StateMachine
from control.specs.collection import CollectionSpec
from tests.fakes.vector_log import MemoryLog, MemoryMark, MemoryShard
from tests.fakes.virtual_time import in_virtual_time

SPEC = CollectionSpec(dimension=2)


class CutLog(MemoryLog):
    """Without its first entries, where `cut` is greater than 1."""

    cut = 1

    @property
    def first(self) -> int:
        return self.cut


class Machine(StateMachine):
    """Over a log of `entries` entries, of which `committed` are final when it opens."""

    def __init__(self, entries: int, committed: int, restoring: bool = False) -> None:
        self.log, self.data, self.told = CutLog(), MemoryShard(), list[int]()
        self.log.append([Entry(1, seq, Kind.UPSERT, b"%d" % seq) for seq in range(1, entries + 1)])
        self.journal = Journal(Path("/"), cast(Any, self.log), cast(Any, MemoryMark()), committed)
        super().__init__(cast(Any, self.data), SPEC, self.journal, restoring)

    @property
    def seen(self) -> list[bytes]:
        return [entry.body for entry in self.data.entries]


def played(story: Callable[[Machine], Awaitable[None]], *about: Any) -> None:
    async def play() -> None:
        machine = Machine(*about)
        running = asyncio.create_task(machine.run(machine.told.append))
        await asyncio.sleep(0)
        await story(machine)
        running.cancel()

    in_virtual_time(play())


def test_what_was_final_when_it_opened_is_applied_and_the_rest_once_it_is_final() -> None:
    async def story(machine: Machine) -> None:
        await asyncio.sleep(1.0)
        assert machine.seen == [b"1", b"2", b"3"]
        machine.commit(5)
        machine.commit(4)
        await machine.applied.reach(5)
        assert machine.seen == [b"1", b"2", b"3", b"4", b"5"]
        assert machine.told == [3, 5]

    played(story, 6, 3)


def test_rows_with_a_field_it_has_not_been_told_of_wait_and_readers_are_sent_on() -> None:
    async def story(machine: Machine) -> None:
        machine.data.unknown = "rows have stars"
        machine.commit(2)
        await asyncio.sleep(1.0)
        assert (machine.seen, machine.lacks) == ([], "rows have stars")
        assert machine.degraded == (), "nothing is damaged, and no copy would help"
        await machine.retune(SPEC.model_copy())
        await asyncio.sleep(1.0)
        assert (machine.seen, machine.lacks) == ([b"1", b"2"], "")

    played(story, 2, 0)


def test_a_whole_shard_in_its_place_has_what_could_not_be_applied() -> None:
    async def story(machine: Machine) -> None:
        machine.data.unknown = "rows have stars"
        machine.commit(2)
        await asyncio.sleep(1.0)
        whole = MemoryShard()
        whole.apply(machine.log.entries[:2])
        async with machine.turn:
            machine.replace(cast(Any, whole))
        await asyncio.sleep(1.0)
        assert (machine.applied.value, machine.lacks) == (2, "")

    played(story, 2, 0)


def test_no_more_is_applied_than_the_log_has_whatever_is_said_to_be_final() -> None:
    async def story(machine: Machine) -> None:
        machine.commit(99)
        await asyncio.sleep(1.0)
        assert machine.seen == [b"1", b"2"]

    played(story, 2, 0)


def test_a_long_log_is_applied_piece_by_piece() -> None:
    async def story(machine: Machine) -> None:
        await machine.applied.reach(130)
        assert machine.seen == [b"%d" % seq for seq in range(1, 131)]
        assert machine.told[:2] == [50, 100]

    played(story, 130, 130)


def test_a_gap_between_the_shard_and_its_log_is_said_and_nothing_is_applied_over_it() -> None:
    async def story(machine: Machine) -> None:
        assert machine.lacks == ""
        machine.log.cut = 3
        machine.commit(5)
        await asyncio.sleep(1.0)
        assert machine.lacks.startswith("the shard is at 0, and")
        assert machine.seen == []

    played(story, 5, 0)


def test_a_shard_that_is_being_restored_says_so_and_takes_nothing_before_its_first_rows() -> None:
    async def story(machine: Machine) -> None:
        await asyncio.sleep(1.0)
        assert machine.seen == []
        assert "restored from a snapshot" in machine.lacks
        machine.replace(cast(Any, MemoryShard()))
        assert machine.lacks == ""
        await machine.applied.reach(2)

    played(story, 2, 2, True)


def test_a_shard_put_in_its_place_gets_what_follows_and_readers_wait_for_what_there_was() -> None:
    async def story(machine: Machine) -> None:
        await machine.applied.reach(4)
        machine.gap = ("the shard is at 4",)
        closed: list[bool] = []
        machine.data.close = lambda: closed.append(True)  # type: ignore[method-assign]
        other = MemoryShard()
        other.entries = machine.log.entries[:2]
        machine.replace(cast(Any, other))
        assert (closed, machine.lacks, machine.applied.value, machine.floor) == ([True], "", 2, 4)
        await machine.applied.reach(machine.floor)
        assert other.entries == machine.log.entries[:4]

    played(story, 6, 4)


def test_what_a_shard_put_in_its_place_has_is_final_also_where_nobody_has_said_so_here() -> None:
    async def story(machine: Machine) -> None:
        other = MemoryShard()
        other.entries = machine.log.entries[:5]
        reading = asyncio.create_task(machine.applied.reach(5))
        await asyncio.sleep(0.1)
        machine.replace(cast(Any, other))
        await reading
        assert (machine.journal.committed, machine.applied.value) == (5, 5)
        machine.commit(6)
        await machine.applied.reach(6)
        assert other.entries == machine.log.entries[:6]

    played(story, 6, 2)


def test_an_acknowledgement_waits_until_the_rows_are_seen_but_not_for_long() -> None:
    async def story(machine: Machine) -> None:
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(machine.shown(2))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        machine.commit(2)
        await waiting
        began = loop.time()
        await machine.shown(3)
        assert SHOWN_SECONDS <= loop.time() - began < SHOWN_SECONDS + 0.01
        machine.gap, began = ("a segment is damaged",), loop.time()
        await machine.shown(3)
        assert loop.time() == began, "nobody reads it, so nobody waits"

    played(story, 3, 0)


def test_it_is_starting_until_a_leader_knows_how_far_the_log_is_final() -> None:
    async def story(machine: Machine) -> None:
        assert machine.starting
        machine.hear(0)
        assert machine.starting, "a leader that does not know itself"
        machine.hear(5)
        assert not machine.starting
        assert machine.floor == 5, "of which this log has three"
        machine.hear(9)
        assert machine.floor == 5, "what is written later a reader may see later"

    played(story, 3, 3)


def test_it_is_starting_for_some_seconds_where_no_leader_speaks() -> None:
    async def story(machine: Machine) -> None:
        await asyncio.sleep(ALONE_SECONDS - 0.1)
        assert machine.starting
        await asyncio.sleep(0.2)
        assert not machine.starting
        machine.hear(5)
        assert machine.floor == 5, "from now on it answers nothing with less"

    played(story, 3, 3)


def test_upkeep_jobs_go_one_after_the_other_and_their_errors_reach_who_asked() -> None:
    async def story(machine: Machine) -> None:
        order: list[int] = []
        await asyncio.gather(*(machine.background(lambda one=one: order.append(one)) for one in range(3)))  # type: ignore[misc]
        assert order == [0, 1, 2]

        def full() -> None:
            raise OSError(28, "No space left on device")

        (told,) = await asyncio.gather(machine.background(full), return_exceptions=True)
        assert isinstance(told, OSError)

    played(story, 0, 0)

"""The order of a shard's writes, against a log that is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from actors.vectors.entry import Entry, Kind
from actors.vectors.replication import writer as module
from actors.vectors.replication.errors import NotLeader, Refused, Unknown
from actors.vectors.replication.writer import Item, Write, Writer
from tests.fakes.virtual_time import in_virtual_time


class Place:
    """A log: each of `appends` are the bodies that came together. `full` while its disk takes nothing."""

    def __init__(self) -> None:
        self.appends: list[list[bytes]] = []
        self.resolved: list[tuple[bytes, int]] = []
        self.full, self.slow = False, 0.0
        self.writer = Writer(self._append, self._settle)

    @property
    def seq(self) -> int:
        return sum(map(len, self.appends))

    def plain(self, body: bytes, size: int = 1) -> Write:
        return Write((Kind.UPSERT, body), size)

    def change(self, body: bytes, *touches: int, every: bool = False, nothing: bool = False) -> Write:
        """Notes how far the log was applied when it was resolved."""

        async def resolve() -> Item | None:
            self.resolved.append((body, self.seq))
            return None if nothing else (Kind.UPSERT, body)

        return Write(resolve, 1, None if every else frozenset(touches))

    async def _append(self, items: Sequence[Item]) -> list[Entry]:
        await asyncio.sleep(self.slow)
        if self.full:
            raise OSError(28, "No space left on device")
        first = self.seq + 1
        self.appends.append([body for _, body in items])
        return [Entry(1, first + number, kind, body) for number, (kind, body) in enumerate(items)]

    async def _settle(self) -> int:
        await asyncio.sleep(0.01)
        return self.seq


def played(story: Callable[[Place], Awaitable[None]]) -> Place:
    place = Place()

    async def play() -> None:
        running = asyncio.create_task(place.writer.run())
        await story(place)
        running.cancel()

    in_virtual_time(play())
    return place


async def together(place: Place, *writes: Write) -> list[Any]:
    return await asyncio.gather(*map(place.writer.write, writes), return_exceptions=True)


def test_what_waits_goes_into_the_log_together_in_the_order_in_which_it_came() -> None:
    async def story(place: Place) -> None:
        assert await together(place, *map(place.plain, (b"a", b"b", b"c"))) == [1, 2, 3]

    assert played(story).appends == [[b"a", b"b", b"c"]]


def test_no_more_goes_together_than_a_message_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "APPEND_BYTES", 5)

    async def story(place: Place) -> None:
        await together(place, place.plain(b"a", 3), place.plain(b"b", 3), place.plain(b"huge", 9), place.plain(b"c", 1))

    assert played(story).appends == [[b"a"], [b"b"], [b"huge"], [b"c"]]


def test_a_change_is_resolved_once_every_write_before_it_is_applied() -> None:
    async def story(place: Place) -> None:
        await together(place, place.plain(b"a"), place.change(b"b", 1), place.plain(b"c"))

    place = played(story)
    assert place.appends == [[b"a"], [b"b"], [b"c"]]
    assert place.resolved == [(b"b", 1)]


def test_changes_of_different_rows_are_resolved_together_and_those_of_one_row_after_each_other() -> None:
    async def story(place: Place) -> None:
        await together(place, place.change(b"a", 1), place.change(b"b", 2, 3), place.change(b"c", 3))

    place = played(story)
    assert place.appends == [[b"a", b"b"], [b"c"]]
    assert place.resolved == [(b"a", 0), (b"b", 0), (b"c", 2)]


def test_a_deletion_by_filter_which_may_touch_any_row_is_resolved_alone() -> None:
    async def story(place: Place) -> None:
        await together(place, place.change(b"a", 1), place.change(b"b", every=True), place.change(b"c", 2))

    assert played(story).appends == [[b"a"], [b"b"], [b"c"]]


def test_a_change_that_comes_to_nothing_is_told_the_entry_up_to_which_it_looked() -> None:
    async def story(place: Place) -> None:
        asked = (place.plain(b"a"), place.change(b"b", 1, nothing=True), place.change(b"c", 2))
        assert await together(place, *asked) == [1, 1, 2]

    assert played(story).appends == [[b"a"], [b"c"]]


def test_a_full_disk_refuses_what_it_did_not_take_and_nothing_else() -> None:
    async def story(place: Place) -> None:
        place.full = True
        (refused,) = await together(place, place.plain(b"a"))
        assert isinstance(refused, Refused)
        assert str(refused) == "the log cannot be written: No space left on device"
        place.full = False
        assert await together(place, place.plain(b"b")) == [1]

    assert played(story).appends == [[b"b"]]


def test_a_write_that_is_withdrawn_while_it_waits_never_happens() -> None:
    async def story(place: Place) -> None:
        place.slow = 1.0
        first, second = place.plain(b"a"), place.plain(b"b")
        one = asyncio.create_task(place.writer.write(first))
        await asyncio.sleep(0.1)
        two = asyncio.create_task(place.writer.write(second))
        await asyncio.sleep(0.1)
        assert place.writer.withdraw(second)
        assert not place.writer.withdraw(first), "it is being written"
        assert await one == 1
        two.cancel()

    assert played(story).appends == [[b"a"]]


def test_a_write_that_nobody_waits_for_any_more_is_left_out() -> None:
    async def story(place: Place) -> None:
        place.slow = 1.0
        tasks = [asyncio.create_task(place.writer.write(place.plain(body))) for body in (b"a", b"b", b"c")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert played(story).appends == [[b"a", b"c"]]


def test_what_waits_and_what_is_not_applied_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 10)

    async def story(place: Place) -> None:
        assert await place.writer.write(place.plain(b"a", 6)) == 1
        second = asyncio.create_task(place.writer.write(place.plain(b"b", 6)))
        await asyncio.sleep(1.0)
        assert not second.done(), "the first is written, but not applied"
        place.writer.applied(1)
        assert await second == 2

    played(story)


@pytest.mark.parametrize("full", [False, True])
def test_writes_that_were_given_up_hold_no_room(monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 10)

    async def story(place: Place) -> None:
        place.slow, place.full = 1.0, full
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(place.writer.write(place.plain(b"late", 9)), 0.5)
            await asyncio.sleep(1.0)
            place.writer.applied(place.seq)
        place.slow, place.full = 0.0, False
        async with asyncio.timeout(1.0):
            assert await place.writer.write(place.plain(b"a", 9)) == place.seq

    played(story)


def test_when_the_leader_changes_all_that_waits_is_told_so_and_what_is_being_written_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 10)
    place, moved = Place(), NotLeader(2, "other")

    async def story() -> None:
        place.slow = 60.0
        running = asyncio.create_task(place.writer.run())
        writing = asyncio.create_task(place.writer.write(place.plain(b"a", 5)))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(place.writer.write(place.plain(b"b", 5)))
        outside = asyncio.create_task(place.writer.write(place.plain(b"c", 5)))
        await asyncio.sleep(0.1)
        place.writer.end(moved)
        running.cancel()
        async with asyncio.timeout(1.0):
            told = await asyncio.gather(writing, waiting, outside, return_exceptions=True)
        assert isinstance(told[0], Unknown)
        assert list(told[1:]) == [moved, moved]
        with pytest.raises(NotLeader):
            await place.writer.write(place.plain(b"d"))

    in_virtual_time(story())
    assert place.appends == []

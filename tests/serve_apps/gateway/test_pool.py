"""Turns in a pool: who waits has its turn, is told that there is none, or leaves, and no place is lost by it."""

from __future__ import annotations

import asyncio

import pytest

from control.specs.api_key import Priority
from serve_apps.gateway.admission import Admission
from serve_apps.gateway.body import ClientGone
from serve_apps.gateway.pool import Full, Pool
from tests.serve_apps.gateway.test_requests import run


def pool(places: int = 1, most_waiting: int = 2) -> Pool:
    return Pool(Admission(places, most_waiting))


async def hold(it: Pool, until: asyncio.Event, priority: Priority = "normal", patience_s: float = 5) -> Priority:
    async with it.turn(priority, 0, patience_s):
        await until.wait()
    return priority


async def taken(it: Pool) -> bool:
    """Whether no place is free, found out by trying."""
    try:
        async with it.turn("low", 0, 0.01):
            return False
    except Full:
        return True


def test_who_waits_has_its_turn_when_the_one_before_leaves_or_fails() -> None:
    async def story() -> None:
        it, done = pool(), asyncio.Event()

        async def fail() -> None:
            async with it.turn("normal", 0, 1):
                await done.wait()
                raise ZeroDivisionError

        failing = asyncio.create_task(fail())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(it, done))
        await asyncio.sleep(0)
        done.set()
        with pytest.raises(ZeroDivisionError):
            await failing
        assert await waiting == "normal"
        assert not await taken(it)

    run(story())


def test_who_waits_too_long_is_told_when_to_come_again() -> None:
    async def story() -> None:
        it, done = pool(), asyncio.Event()
        first = asyncio.create_task(hold(it, done))
        await asyncio.sleep(0)
        with pytest.raises(Full, match="no place within") as refused:
            await hold(it, done, patience_s=0.01)
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert dict(refused.value.headers)[b"retry-after"] == b"1"
        done.set()
        await first
        assert not await taken(it)

    run(story())


def test_a_full_queue_refuses_at_once_and_gives_up_a_low_one_for_a_high_one() -> None:
    async def story() -> None:
        it, done = pool(most_waiting=1), asyncio.Event()
        first = asyncio.create_task(hold(it, done))
        low = asyncio.create_task(hold(it, done, "low"))
        await asyncio.sleep(0)
        with pytest.raises(Full, match="as many as may wait"):
            await hold(it, done, "low")
        high = asyncio.create_task(hold(it, done, "high"))
        with pytest.raises(Full, match="higher priority"):
            await low
        done.set()
        assert (await first, await high) == ("normal", "high")

    run(story())


def test_who_is_cancelled_while_it_waits_leaves_no_place_taken() -> None:
    async def story() -> None:
        it, done = pool(), asyncio.Event()
        first, waiting = (asyncio.create_task(hold(it, done)) for _ in range(2))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        done.set()
        await first
        assert not await taken(it)

    run(story())


@pytest.mark.parametrize("cancelled_first", [False, True])
def test_who_is_cancelled_in_the_moment_in_which_it_is_let_in_leaves_no_place_taken(cancelled_first: bool) -> None:
    async def story() -> None:
        it = pool()
        turn = it.turn("normal", 0, 1)
        await turn.__aenter__()
        waiting = asyncio.create_task(hold(it, asyncio.Event()))
        await asyncio.sleep(0)
        if cancelled_first:
            waiting.cancel()  # it hears of it only in the next turn of the loop
        await turn.__aexit__(None, None, None)
        if not cancelled_first:
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not await taken(it)

    run(story())


def test_whose_client_leaves_waits_no_more_and_holds_nobody_up() -> None:
    async def story() -> None:
        it, done, gone = pool(most_waiting=1), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(hold(it, done))
        await asyncio.sleep(0)
        leaving = it.turn("normal", 0, 5, gone.wait)
        waiting = asyncio.create_task(leaving.__aenter__())
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(ClientGone):
            await waiting
        following = asyncio.create_task(hold(it, done))
        await asyncio.sleep(0)
        done.set()
        assert (await first, await following) == ("normal", "normal"), "there was room in the queue"
        assert not await taken(it)

    run(story())


def test_of_whose_client_nothing_can_be_found_out_it_waits_on_and_nobody_looks_when_it_has_its_turn() -> None:
    async def story() -> None:
        it, done = pool(), asyncio.Event()
        before = asyncio.all_tasks()

        async def unknown() -> bool:
            return False

        async def stays() -> bool:
            await asyncio.Event().wait()
            return True

        first = asyncio.create_task(hold(it, done))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(it.turn("normal", 0, 5, left).__aenter__()) for left in (unknown, stays)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        done.set()
        await first
        await (await waiting[0]).__aexit__(None, None, None)
        await (await waiting[1]).__aexit__(None, None, None)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(story())

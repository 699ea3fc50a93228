"""Requests reserve and pay; the ledger answers, is slow, fails, hangs, or is not needed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from control.accounts import Ask, Counts, Reply, Report, Usage, Window
from control.gateway.ledger.book import Book
from serve_apps.gateway.accounts import bank as bank_module
from serve_apps.gateway.accounts.bank import Bank, Charge, Reservation, Short

DAY, MINUTE = Window.DAY, Window.MINUTE
MONEY = Charge("money", DAY, 100, "cost", 10)
CALLS = Charge("calls", MINUTE, 100, "requests", 1)


class Desk:
    """A ledger in this process: a book, and what may go wrong on the way to it."""

    def __init__(self) -> None:
        self.book = Book(now=time.time())
        self.reports: list[Report] = []
        self.replies: dict[str, Reply] = {}
        self.fails: BaseException | None = None
        self.loses_replies = 0
        self.open = threading.Event()
        self.open.set()
        self._turn = threading.Lock()

    def __call__(self, report: Report) -> Reply:
        assert self.open.wait(10.0)
        if self.fails is not None:
            raise self.fails
        with self._turn:
            self.reports.append(report)
            last = self.replies.get(report.holder)
            if last is None or report.number > last.number:
                last = self.replies[report.holder] = self.book.take(report, time.time())
        if self.loses_replies:
            self.loses_replies -= 1
            raise ConnectionResetError
        return last

    def left(self, charge: Charge) -> int:
        """To anybody who asks now."""
        ask = Ask(charge.account, charge.window, charge.capacity, 1, 1, 0)
        grant = self.book.take(Report("auditor", 1, asks=(ask,)), time.time()).grants[0]
        return grant.units + grant.left


@pytest.fixture
def desk() -> Desk:
    return Desk()


@contextlib.asynccontextmanager
async def running(desk: Callable[[Report], Reply]) -> AsyncIterator[Bank]:
    bank = Bank(desk)
    task = asyncio.create_task(bank.run())
    try:
        yield bank
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5.0)
        assert task.cancelled()
        await bank.close()


async def refused(bank: Bank, *charges: Charge) -> Short:
    with pytest.raises(Short) as caught:
        await bank.reserve(charges)
    return caught.value


def test_a_request_gets_what_it_needs_and_gives_back_what_it_did_not(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            reservation = await bank.reserve([MONEY, CALLS])
            reservation.settle({"cost": 4, "requests": 1})
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert desk.left(MONEY) == 96
    assert desk.left(CALLS) == 99


def test_a_request_that_takes_long_gives_back_what_it_did_not_need(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            reservation = await bank.reserve([MONEY])
            await asyncio.sleep(0.7)
            reservation.settle({"cost": 4})
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert desk.left(MONEY) == 96


def test_all_is_reserved_or_nothing(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            short = await refused(bank, MONEY, CALLS._replace(capacity=5, units=6))
            assert (short.charge.account, short.wait_s) == ("calls", math.inf)
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert desk.left(MONEY) == 100


def test_what_is_spent_is_refused_at_once(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            for _ in range(10):
                (await bank.reserve([MONEY])).settle({"cost": 10})
            await asyncio.sleep(0.3)
            began = time.monotonic()
            assert (await refused(bank, MONEY)).spent
            assert time.monotonic() - began < 0.3
            assert bank.short(MONEY, time.monotonic()) is not None

    asyncio.run(main())


def test_what_is_only_reserved_is_waited_for_and_then_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_module, "PATIENCE_SECONDS", 0.5)

    async def main() -> None:
        async with running(desk) as bank:
            held = [await bank.reserve([MONEY]) for _ in range(10)]
            began = time.monotonic()
            assert not (await refused(bank, MONEY)).spent
            assert 0.4 < time.monotonic() - began < 2.0
            waiting = asyncio.create_task(bank.reserve([MONEY]))
            await asyncio.sleep(0.1)
            held[0].settle({})
            assert isinstance(await waiting, Reservation)

    asyncio.run(main())


def test_a_minute_that_is_full_is_refused_with_the_time_to_wait(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            await bank.reserve([CALLS._replace(units=100)])
            assert 60.0 < (await refused(bank, CALLS)).wait_s < 62.5

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_takes_nothing(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            desk.open.clear()
            waiting = [asyncio.create_task(bank.reserve([MONEY])) for _ in range(20)]
            await asyncio.sleep(0.1)
            desk.open.set()
            for number, task in enumerate(waiting):
                await asyncio.sleep(0.001 * number)
                task.cancel()
            for done in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(done, Reservation):
                    done.settle({})
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert desk.left(MONEY) == 100


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError()])
def test_without_a_ledger_minutes_are_shared_and_days_refused(desk: Desk, error: BaseException) -> None:
    async def main() -> None:
        desk.fails = error
        async with running(desk) as bank:
            bank.replicas = 4
            assert (await refused(bank, MONEY)).away
            for _ in range(25):
                await bank.reserve([CALLS])
            short = await refused(bank, CALLS)
            assert not short.away
            desk.fails = None
            await asyncio.sleep(0.6)
            await bank.reserve([CALLS, MONEY])

    asyncio.run(main())
    assert desk.left(CALLS) == 74


def test_a_ledger_that_hangs_makes_nobody_wait_for_more_than_a_second(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            desk.open.clear()
            began = time.monotonic()
            await bank.reserve([CALLS])
            assert time.monotonic() - began < 2.0
            desk.open.set()

    asyncio.run(main())


def test_a_slow_ledger_is_waited_for(desk: Desk) -> None:
    def slow(report: Report) -> Reply:
        time.sleep(0.6)
        return desk(report)

    async def main() -> None:
        async with running(slow) as bank:
            await bank.reserve([CALLS, MONEY])

    asyncio.run(main())
    assert all(not report.took for report in desk.reports)


def test_a_report_whose_reply_is_lost_is_taken_once(desk: Desk) -> None:
    desk.loses_replies = 2

    async def main() -> None:
        async with running(desk) as bank:
            assert (await refused(bank, MONEY)).away
            await asyncio.sleep(1.0)
            (await bank.reserve([MONEY])).settle({"cost": 10})
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert desk.left(MONEY) == 90


def test_a_run_that_fails_leaves_its_report_to_the_next_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    who = Usage("2026-01-02", "key", "org", "chat", "openai")

    def fail(_: Bank) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        bank = Bank(desk)
        failing = asyncio.create_task(bank.run())
        (await bank.reserve([MONEY])).settle({"cost": 4})
        desk.fails = OSError()
        bank.used(who, Counts(1, 0, 0, 2, 0, 1, 4, 0))
        with monkeypatch.context() as patched:
            patched.setattr(Bank, "_be_away", fail)
            with pytest.raises(ZeroDivisionError):
                await failing
        desk.fails = None
        following = asyncio.create_task(bank.run())
        await asyncio.sleep(0.4)
        following.cancel()
        await asyncio.wait({following})

    asyncio.run(main())
    told = [usage for report in desk.reports for usage in report.usage]
    assert told == [(who, Counts(1, 0, 0, 2, 0, 1, 4, 0))]
    numbers = [report.number for report in desk.reports]
    assert numbers == list(range(1, len(numbers) + 1)), "none is left out"


def test_everything_goes_back_when_a_replica_closes(desk: Desk) -> None:
    who = Usage("2026-01-02", "key", "org", "chat", "openai")

    async def main() -> None:
        async with running(desk) as bank:
            (await bank.reserve([MONEY])).settle({"cost": 1})
            bank.used(who, Counts(requests=1, cost=1))
            bank.used(who, Counts(requests=1))

    asyncio.run(main())
    assert desk.left(MONEY) == 99
    assert [use for report in desk.reports for use in report.usage] == [(who, Counts(requests=2, cost=1))]


def test_in_the_steady_state_nobody_waits(desk: Desk) -> None:
    charges = [CALLS._replace(capacity=10**6), MONEY._replace(capacity=10**9)]
    waited = total = 0

    async def client(bank: Bank, end: float, warm: float) -> None:
        nonlocal waited, total
        while (now := time.monotonic()) < end:
            asked = asyncio.ensure_future(bank.reserve(charges))
            await asyncio.sleep(0)
            if now > warm:
                total += 1
                waited += not asked.done()
            reservation = await asked
            await asyncio.sleep(0.1)
            reservation.settle({"requests": 1, "cost": 7})

    async def main() -> None:
        async with running(desk) as bank:
            now = time.monotonic()
            await asyncio.gather(*(client(bank, now + 4.0, now + 1.0) for _ in range(16)))

    asyncio.run(main())
    assert total > 150
    assert waited < total / 10  # none but where the machine stalls: without units held ahead it is all of them


def test_accounts_that_nobody_uses_any_more_take_no_memory(desk: Desk) -> None:
    async def main() -> None:
        async with running(desk) as bank:
            for number in range(200):
                (await bank.reserve([MONEY._replace(account=f"{number}")])).settle({"cost": 1})
            await asyncio.sleep(1.0)
            assert len(bank) == 0

    asyncio.run(main())


def test_four_replicas_spend_a_budget_to_its_end_before_anybody_is_refused(desk: Desk) -> None:
    charge = MONEY._replace(capacity=500 * 10)
    admitted = 0
    refusals: list[Short] = []

    async def main() -> None:
        nonlocal admitted
        async with contextlib.AsyncExitStack() as stack:
            banks = [await stack.enter_async_context(running(desk)) for _ in range(4)]

            async def client(bank: Bank) -> None:
                nonlocal admitted
                while not refusals:
                    try:
                        reservation = await bank.reserve([charge])
                    except Short as short:
                        return refusals.append(short)
                    admitted += 1
                    await asyncio.sleep(0.02)
                    reservation.settle({"cost": 10})
                return None

            await asyncio.gather(*(client(bank) for bank in banks for _ in range(3)))

    asyncio.run(main())
    assert all(short.spent for short in refusals)
    assert 490 <= admitted <= 500

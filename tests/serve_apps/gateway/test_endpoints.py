"""What is known of the replicas: by our own clock, and only from what was read."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from control.engine_report import STALE_SECONDS, EngineReport
from serve_apps.gateway import endpoints
from serve_apps.gateway.endpoints import Endpoint, Endpoints, Reports

HERE = EngineReport("http://10.0.0.1:4000/")


class Store:
    """Reports, each of which is written anew between readings unless its replica is silent; on a clock far off."""

    def __init__(self) -> None:
        self.reports: dict[str, EngineReport] = {"a": HERE, "b": HERE}
        self.silent: set[str] = set()
        self.away = False
        self._at = {"a": 1e9, "b": -5.0}

    def read(self) -> Reports:
        if self.away:
            raise OSError("away")
        for app in self._at.keys() - self.silent:
            self._at[app] += 0.5
        return {app: (report, self._at[app]) for app, report in self.reports.items()}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(endpoints, "monotonic", lambda: now[0])
    return now


def pass_time(found: Endpoints, clock: list[float], seconds: int, step: float = 1.0) -> None:
    async def readings() -> None:
        for _ in range(seconds):
            clock[0] += step
            await found.refresh()

    asyncio.run(readings())


def test_a_replica_whose_report_moves_is_ready_and_one_whose_report_stands_still_is_lost_after_a_while(
    clock: list[float],
) -> None:
    store = Store()
    found = Endpoints(store.read, 1.0)
    assert found.known == {}
    pass_time(found, clock, 5)
    assert found.known == {app: Endpoint("http://10.0.0.1:4000", ready=True, lost=False) for app in "ab"}
    store.silent.add("a")
    pass_time(found, clock, int(STALE_SECONDS) - 1)
    assert found.known["a"].ready
    pass_time(found, clock, 1)
    assert found.known["a"] == Endpoint("http://10.0.0.1:4000", ready=False, lost=True)
    assert found.known["b"].ready
    store.silent.clear()
    pass_time(found, clock, 1)
    assert found.known["a"].ready


def test_the_time_in_which_nothing_could_be_read_is_nobodys_silence(clock: list[float]) -> None:
    store = Store()
    found = Endpoints(store.read, 1.0)
    pass_time(found, clock, 2)
    store.away = True
    pass_time(found, clock, 60)
    assert found.known["a"].ready, "what was read last is held"
    store.away, store.silent = False, {"a", "b"}  # a store that comes back is read before anybody can write to it
    pass_time(found, clock, int(STALE_SECONDS))
    assert found.known["a"].ready
    pass_time(found, clock, 1)
    assert not found.known["a"].ready


def test_a_reading_that_came_late_counts_as_no_more_than_two(clock: list[float]) -> None:
    store = Store()
    found = Endpoints(store.read, 1.0)
    pass_time(found, clock, 2)
    store.silent = {"a"}
    pass_time(found, clock, 1, step=30.0)
    assert found.known["a"].ready
    pass_time(found, clock, 1)
    assert not found.known["a"].ready


@pytest.mark.parametrize(
    ("told", "ready", "lost"),
    [
        ({}, True, False),
        ({"accepts": False}, False, False),
        ({"accepts": False, "trouble": "the engine is dead"}, False, True),
        ({"trouble": "warm"}, True, False),
    ],
)
def test_one_that_drains_is_not_ready_and_one_that_is_stuck_is_lost(
    told: dict[str, Any], ready: bool, lost: bool, clock: list[float]
) -> None:
    store = Store()
    store.reports["a"] = EngineReport("http://a", **told)
    found = Endpoints(store.read, 1.0)
    pass_time(found, clock, 1)
    assert found.known["a"] == Endpoint("http://a", ready, lost)


def test_who_is_not_in_the_store_any_more_is_not_known(clock: list[float]) -> None:
    store = Store()
    found = Endpoints(store.read, 1.0)
    pass_time(found, clock, 1)
    del store.reports["a"]
    pass_time(found, clock, 1)
    assert set(found.known) == {"b"}


def test_a_reader_that_gives_nonsense_changes_nothing(clock: list[float]) -> None:
    answers: Iterator[Any] = iter([{"a": (HERE, 1.0)}, None, {"a": "?"}, 7])
    found = Endpoints(lambda: next(answers), 1.0)
    pass_time(found, clock, 4)
    assert set(found.known) == {"a"}

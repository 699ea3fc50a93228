"""A replica reports while it lives, and takes itself away when its engine died or hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import pytest

from control.engine_report import EngineReport
from serve_apps import engine_life
from serve_apps.engine_figures import Figures
from serve_apps.engine_life import EngineLife
from serve_apps.engine_watch import PATIENCE_SECONDS, PROBE_SECONDS

ABOUT = EngineReport("http://127.0.0.1:1", pid=7)


class Ended(SystemExit):
    """Instead of the end of this process."""


class Engine:
    """An engine that can be killed, and that is a process which can be stopped."""

    on_cpu = False

    def __init__(self, process: int = 0) -> None:
        self.figures = Figures()
        self.is_dead = False
        self.requests = 0
        self.processes: Sequence[int] = [process] if process else []
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        self.requests += 1
        await asyncio.Event().wait()


def life(engine: Engine | None, write: Callable[[EngineReport], None], ending: bool = False) -> EngineLife:
    return EngineLife(ABOUT, engine, ending=lambda: ending, write=write)


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> NoReturn:
        assert code
        raise Ended

    monkeypatch.setattr(os, "_exit", leave)


def ended(story: Callable[[], object]) -> float:
    """Runs the story until its replica takes itself away, and returns how many seconds that took."""
    began = time.monotonic()
    with pytest.raises(Ended):
        story()
    return time.monotonic() - began


def test_a_dead_engine_is_found_reported_and_leaves_at_once() -> None:
    reports: list[EngineReport] = []

    async def story() -> None:
        engine = Engine()
        await life(engine, reports.append).start()
        engine.is_dead = True
        await asyncio.sleep(5)

    assert ended(lambda: asyncio.run(story())) < 2  # 0.4 s on a machine that does nothing else
    assert reports[0].accepts
    assert not reports[-1].accepts
    assert reports[-1].trouble == "the engine died"


def test_an_engine_that_hangs_is_asked_then_killed_and_the_replica_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_life, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("serve_apps.engine_watch.PROBE_SECONDS", 0.2)
    reports: list[EngineReport] = []
    with subprocess.Popen(["sleep", "60"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        engine = Engine(process.pid)
        engine.requests = 1

        async def story() -> None:
            await life(engine, reports.append).start()
            await asyncio.sleep(5)

        assert ended(lambda: asyncio.run(story())) < 4
        assert process.wait(5) == -signal.SIGKILL
    assert engine.probes == 1
    assert not reports[-1].accepts
    assert "ended no step" in reports[-1].trouble


def test_a_store_that_is_away_costs_reports_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[EngineReport] = []

    def away(report: EngineReport) -> None:
        tried.append(report)
        raise OSError("no store")

    async def story() -> None:
        living = life(Engine(), away)
        await living.start()
        async with asyncio.timeout(5):
            while len(tried) < 2:
                await asyncio.sleep(0.05)
        living.check_health()

    asyncio.run(story())
    assert "no store" in caplog.text


def test_a_replica_that_serve_is_ending_says_so() -> None:
    assert not life(Engine(), lambda _: None, ending=True).report().accepts


def test_an_engine_that_cannot_be_watched_is_reported_by_its_address() -> None:
    assert life(None, lambda _: None).report() == ABOUT


def test_health_is_lost_where_nobody_watches() -> None:
    async def story() -> None:
        engine = Engine()
        living = life(engine, lambda _: None)
        await living.start()
        del engine.figures  # what a defect of ours would do
        async with asyncio.timeout(5):
            while True:
                await asyncio.sleep(0.05)
                living.check_health()

    with pytest.raises(RuntimeError, match="not watched any more"):
        asyncio.run(story())


def test_a_replica_that_has_drained_says_its_last_figures_and_is_not_mourned() -> None:
    reports: list[EngineReport] = []

    async def story() -> None:
        engine = Engine()
        living = life(engine, reports.append)
        await living.start()
        engine.requests = 2
        await living.stop()
        engine.is_dead = True
        await asyncio.sleep(0.7)

    asyncio.run(story())
    assert [(one.waiting, one.trouble) for one in reports] == [(0, ""), (2, "")]


def test_asking_comes_before_giving_up() -> None:
    assert PROBE_SECONDS < PATIENCE_SECONDS

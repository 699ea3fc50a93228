"""Waking control loops: whoever listens hears of a commit at once, and nothing depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.kernel import loop as loop_module
from control.kernel.bell import Bell, ring
from control.kernel.loop import Loop
from control.kernel.plan import Note, Plan
from control.kernel.store import Store
from tests.fakes.clock import FakeClock

NOTE = Note(kind="Thing", name="one", event="Noted", reason="test")


@pytest.fixture
def bells(tmp_path: Path) -> Path:
    return tmp_path / "b"


@pytest.fixture
def bell(bells: Path) -> Iterator[Bell]:
    bell = Bell(bells, "scheduler")
    yield bell
    bell.close()


def waited(bell: Bell, seconds: float = 5.0) -> float:
    began = time.monotonic()
    bell.wait(seconds)
    return time.monotonic() - began


def test_a_ring_ends_the_wait(bell: Bell, bells: Path) -> None:
    threading.Timer(0.05, ring, (bells,)).start()
    assert 0.04 < waited(bell) < 2.0


def test_a_ring_before_the_wait_is_heard(bell: Bell, bells: Path) -> None:
    ring(bells)
    assert waited(bell) < 1.0


def test_many_rings_count_as_one(bell: Bell, bells: Path) -> None:
    for _ in range(1000):
        ring(bells)
    assert waited(bell) < 1.0
    assert waited(bell, 0.05) >= 0.05


def test_without_a_ring_it_waits_no_longer_than_asked(bell: Bell) -> None:
    assert 0.05 <= waited(bell, 0.05) < 1.0


def test_a_loop_wakes_the_others_and_not_itself(bell: Bell, bells: Path) -> None:
    other = Bell(bells, "router")
    bell.ring_others()
    assert waited(other) < 1.0
    assert waited(bell, 0.05) >= 0.05
    other.close()


def test_where_nobody_listens_nothing_happens(bells: Path) -> None:
    ring(bells)
    dead = Bell(bells, "gateway")
    dead._socket.close()  # as a killed process leaves it
    ring(bells)


def test_the_next_life_of_a_loop_takes_the_place_of_a_killed_one(bells: Path) -> None:
    first = Bell(bells, "gateway")
    second = Bell(bells, "gateway")
    ring(bells)
    assert waited(second) < 1.0
    for one in (first, second):
        one.close()


class Domain:
    """Turns and remembers when; `plan` is what it decides the first time."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self.plan, self.period = name, plan, 1000.0
        self.turns: list[float] = []

    def observe(self, store: Store, now: float) -> float:
        self.turns.append(time.monotonic())
        return now

    def decide(self, snapshot: float) -> Plan:
        plan, self.plan = self.plan, Plan()
        return plan


def test_a_commit_of_one_loop_is_seen_by_the_others_long_before_they_poll(
    tmp_path: Path, bells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "POLL_SECONDS", 30.0)
    store = Store(f"sqlite:///{tmp_path / 'biplane.db'}")
    listener = Domain("router", Plan())
    bell = Bell(bells, "router")
    stop = threading.Event()
    thread = threading.Thread(target=Loop(listener, store, print, FakeClock(), bell).run, args=(stop,), daemon=True)
    thread.start()
    while not listener.turns:
        time.sleep(0.005)
    writer_bell = Bell(bells, "scheduler")
    Loop(Domain("scheduler", Plan((NOTE,))), store, print, FakeClock(), writer_bell).turn()
    deadline = time.monotonic() + 10.0
    while len(listener.turns) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(listener.turns) == 2
    stop.set()
    ring(bells)
    thread.join(10.0)
    store.close()

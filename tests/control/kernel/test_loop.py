"""The loop: observe → decide → record → act, whatever goes wrong in one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control.kernel import loop as loop_module
from control.kernel.loop import Loop
from control.kernel.plan import Create, Effect, EndApp, EnsureApp, Note, Plan
from control.kernel.store import Conflict, Store
from tests.fakes.clock import FakeClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'biplane.db'}")
    yield store
    store.close()


def ensure(app: str = "a") -> EnsureApp:
    return EnsureApp(
        kind="Thing", name="one", reason="test", app=app, route_prefix="/", builder="b", args={"engine": {"n": [1]}}
    )


def end(app: str = "a") -> EndApp:
    return EndApp(kind="Thing", name="one", reason="test", app=app)


NOTE = Note(kind="Thing", name="one", event="Noted", reason="test")


@dataclass
class Scripted:
    """A domain whose plans are given; `diary` has the phases as they came."""

    plans: list[Plan]
    diary: list[str] = field(default_factory=list)
    period: float = 0.001
    during_observe: Callable[[], None] = lambda: None
    name: str = "scripted"

    def observe(self, store: Store, now: float) -> float:
        self.diary.append("observe")
        self.during_observe()
        return now

    def decide(self, snapshot: float) -> Plan:
        self.diary.append(f"decide at {snapshot:.0f}")
        return self.plans.pop(0) if self.plans else Plan()


def loop_of(domain: Scripted, store: Store, act: Callable[[Effect], None] | None = None) -> Loop[float]:
    def record(effect: Effect) -> None:
        events = len(store.events())
        domain.diary.append(f"act after {events} event(s)")

    return Loop(domain, store, act or record, FakeClock(5.0))


def failures(store: Store) -> list[str]:
    return [event.reason for event in store.events("Thing", "one") if event.event == "EffectFailed"]


def test_it_observes_then_decides_then_records_then_acts(store: Store) -> None:
    domain = Scripted([Plan((NOTE,), (ensure(), end()))])
    done = loop_of(domain, store).turn()
    assert domain.diary == ["observe", "decide at 5", "act after 1 event(s)", "act after 1 event(s)"]
    assert (done.records, done.effects) == (1, 2)
    (event,) = store.events()
    assert (event.who, event.at) == ("scripted", 5.0)


def test_a_plan_without_records_leaves_the_store_alone(store: Store) -> None:
    before = store.revision()
    loop_of(Scripted([Plan((), (end(),))]), store).turn()
    assert store.revision() == before


def test_after_a_conflict_nothing_was_acted(store: Store) -> None:
    stale = Create(kind="Thing", name="one", event="Created", reason="test", spec={}, revision=77)
    domain = Scripted([Plan((stale,), (end(),))])
    with pytest.raises(Conflict):
        loop_of(domain, store).turn()
    assert domain.diary == ["observe", "decide at 5"]


@pytest.mark.parametrize("effect", [ensure(), end()], ids=["with arguments", "without"])
def test_an_effect_that_fails_is_noted_once_for_each_reason_and_asked_again(store: Store, effect: Effect) -> None:
    reasons = iter(["no", "no", "never"])
    tried = []

    def act(effect: Effect) -> None:
        tried.append(effect)
        raise OSError(next(reasons))

    loop = loop_of(Scripted([Plan((), (effect,))] * 3), store, act)
    for _ in range(3):
        loop.turn()
    assert len(tried) == 3
    assert failures(store) == ["OSError: no", "OSError: never"]


def test_an_effect_that_fails_again_after_it_was_no_longer_asked_for_is_noted_again(store: Store) -> None:
    def act(effect: Effect) -> None:
        raise OSError("no")

    loop = loop_of(Scripted([Plan((), (ensure(),)), Plan(), Plan((), (ensure(),))]), store, act)
    for _ in range(3):
        loop.turn()
    assert failures(store) == ["OSError: no", "OSError: no"]


def test_one_effect_that_fails_does_not_keep_the_others_from_happening(store: Store) -> None:
    done = []

    def act(effect: Effect) -> None:
        if effect == ensure("bad"):
            raise OSError("no")
        done.append(effect)

    loop_of(Scripted([Plan((), (ensure("bad"), ensure("good"), end()))]), store, act).turn()
    assert done == [ensure("good"), end()]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(loop_module, name, 0.001)


def run_until(loop: Loop[float], done: Callable[[], bool]) -> None:
    """Run the loop in a thread, its clock going on with each reading, until something holds."""
    clock = loop.clock
    assert isinstance(clock, FakeClock)

    def go_on() -> float:
        clock.tick(0.5)
        return clock()

    loop.clock = go_on
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    for _ in range(2000):
        if done():
            break
        stop.wait(0.005)
    stop.set()
    thread.join(30)
    assert done()


@pytest.mark.usefixtures("hurried")
def test_a_pass_that_raises_does_not_end_the_loop(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    domain = Scripted([])

    def stumble() -> None:
        if len(domain.diary) < 3:
            raise RuntimeError("the world is away")

    domain.during_observe = stumble
    with caplog.at_level(logging.CRITICAL):
        run_until(loop_of(domain, store), lambda: domain.diary.count("decide at 5") < len(domain.diary) - 4)
    assert any(entry.startswith("decide") for entry in domain.diary)


@pytest.mark.usefixtures("hurried")
def test_after_a_conflict_it_looks_again_and_decides_again(store: Store) -> None:
    stale = Create(kind="Thing", name="one", event="Created", reason="test", spec={}, revision=77)
    fresh = Create(kind="Thing", name="one", event="Created", reason="test", spec={})
    domain = Scripted([Plan((stale,)), Plan((fresh,))])
    run_until(loop_of(domain, store), lambda: store.get("Thing", "one") is not None)
    assert [entry.split()[0] for entry in domain.diary[:4]] == ["observe", "decide"] * 2


@pytest.mark.usefixtures("hurried")
def test_it_gives_signs_of_life_with_the_times_of_its_last_pass(store: Store) -> None:
    run_until(loop_of(Scripted([]), store), lambda: bool(store.heartbeats()))
    (beat,) = store.heartbeats()
    assert beat.actor == "scripted"
    assert beat.body.keys() >= {"observe", "decide", "record", "act", "records", "effects"}

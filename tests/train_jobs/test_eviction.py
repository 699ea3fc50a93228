"""How often training asks whether its devices are wanted back, and that all ranks act on one answer."""

from __future__ import annotations

import itertools

import pytest
import torch

from train_jobs.eviction import EvictionWatch

CPU = torch.device("cpu")


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("train_jobs.eviction.time.monotonic", lambda: self.now)


def asked_at(monkeypatch: pytest.MonkeyPatch, seconds_a_step: float, steps: int) -> list[float]:
    """When a run of so many steps asked."""
    clock = Clock(monkeypatch)
    asked: list[float] = []

    def evicted() -> bool:
        asked.append(clock.now)
        return False

    watch = EvictionWatch(evicted, 100, CPU)
    for step in range(101, 101 + steps):
        clock.now += seconds_a_step
        assert not watch.stops(step)
    return asked


def test_it_asks_about_once_a_second_however_fast_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_at(monkeypatch, 0.001, 10_000)
    assert asked[0] == pytest.approx(0.001)
    assert 9 <= len(asked) <= 9 + 11  # a second apart, after it has doubled the gap from one step to a thousand
    assert max(later - earlier for earlier, later in itertools.pairwise(asked)) <= 1.0 + 1e-6


def test_it_asks_after_every_step_that_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(asked_at(monkeypatch, 3.0, 7)) == 7


def test_it_stops_after_the_step_at_which_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    answers = iter([False, False, True])
    watch = EvictionWatch(lambda: next(answers), 0, CPU)
    assert next(step for step in range(1, 20) if watch.stops(step)) == 7  # it asks after 1, 3 and 7


def test_ranks_but_the_first_ask_nobody_and_do_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rank sees the order and another does not yet: they would wait for each other for ever."""
    said = iter([(0, 4), (1, 9)])
    met: list[int] = []

    def broadcast(tensor: torch.Tensor, src: int) -> None:
        assert src == 0
        met.append(1)
        tensor.copy_(torch.tensor(next(said)))

    def evicted() -> bool:
        raise AssertionError("only rank 0 asks")

    monkeypatch.setattr("train_jobs.eviction.dist.is_initialized", lambda: True)
    monkeypatch.setattr("train_jobs.eviction.dist.get_rank", lambda: 1)
    monkeypatch.setattr("train_jobs.eviction.dist.broadcast", broadcast)
    watch = EvictionWatch(evicted, 0, CPU)
    assert [watch.stops(step) for step in (1, 2, 3, 4)] == [False, False, False, True]
    assert len(met) == 2

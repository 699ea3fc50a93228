"""Whose turn it is where not all may have it: nobody waits for ever, whoever is left out of whichever turns."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from serve_apps.gateway.turns import Turns


@dataclass(eq=False, slots=True)
class Taker:
    share: float
    lag: float = 0.0


def takers(*weights: float) -> list[Taker]:
    return [Taker(weight / sum(weights)) for weight in weights]


def test_the_only_one_is_never_behind() -> None:
    (only,) = them = takers(3.0)
    turns = Turns(them)
    assert [turns.next(them) for _ in range(1000)] == [only] * 1000
    assert only.lag == 0


def test_those_left_out_do_not_fall_behind() -> None:
    them = takers(1.0, 1.0, 2.0)
    turns = Turns(them)
    for _ in range(1000):
        turns.next(them[:2])
    assert them[2].lag == 0
    assert all(abs(one.lag) <= 0.75 for one in them)


def worst_found(count: int, rng: random.Random) -> float:
    """By how many requests somebody was off at most, of `count`, while those were asked who make it worst."""
    them = takers(*rng.choices([1, 2, 5, 10, 30, 70, 100, 1000], k=count))
    some = [list(chosen) for size in range(2, count + 1) for chosen in itertools.combinations(them, size)]
    turns, weight, worst = Turns(them), rng.choice([0.01, 0.1, 1.0]), 0.0

    def damage(asked: Sequence[Taker]) -> float:
        lags = [one.lag for one in them]
        turns.next(asked)
        found = max(abs(one.lag) for one in them) + weight * sum(one.lag**2 for one in them)
        for one, lag in zip(them, lags, strict=True):
            one.lag = lag
        return found

    for _ in range(250):
        chance = rng.random() < 0.2
        turns.next(rng.choice(some) if chance else max(rng.sample(some, min(len(some), 20)), key=damage))
        worst = max(worst, *(abs(one.lag) for one in them))
    return worst


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_no_choice_of_who_may_have_the_turn_brings_anybody_far_off_their_share(count: int) -> None:
    rng = random.Random(count)
    bound = 0.5 if count == 2 else count / 2
    assert max(worst_found(count, rng) for _ in range(15)) <= bound + 1e-6

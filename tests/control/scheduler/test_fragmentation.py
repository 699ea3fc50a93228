"""What a placement costs the others, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from control.scheduler.demand import PRIOR, Demand
from control.scheduler.fragmentation import MIB, ONE_MORE, Fragmentation, Standing, least
from control.scheduler.state import Ask


def usable(ask: Ask, left: list[int], cpu: int = 1 << 60, memory: int = 1 << 60, model: int = 0) -> tuple[float, float]:
    """For one ask: what it could use of a node with so much left on each device, and what could be filled with it."""
    fragmentation = Fragmentation(Demand.of([ask]), ["H100", "A100"])
    offers = fragmentation.offers[left].sum(axis=0, keepdims=True)
    found, filled = fragmentation.usable(offers, np.array([cpu]), np.array([memory]), np.array([model]))
    assert found.shape == filled.shape == (1, 1 + len(PRIOR))
    return float(found[0, 0]), float(filled[0, 0])


@pytest.mark.parametrize(
    ("ask", "left", "more", "filled"),
    [
        (Ask(devices=1), [1000, 1000, 400, 0], 2000, 2000),
        (Ask(devices=2), [1000, 1000, 1000, 0], 3000, 2000),
        (Ask(devices=4), [1000, 1000, 1000, 0], 0, 0),
        (Ask(devices=1, milli=300), [1000, 700, 200, 0], 1700, 1500),
        (Ask(devices=1, milli=810), [1000, 190, 0, 0], 1000, 810),
    ],
)
def test_one_more_could_use_every_device_that_it_fits_and_fills_a_part(
    ask: Ask, left: list[int], more: int, filled: int
) -> None:
    assert usable(ask, left) == (ONE_MORE * more + filled, filled)


def test_the_host_limits_how_many_fit() -> None:
    left = [1000] * 4
    assert usable(Ask(devices=1, cpu=12000), left, cpu=35999)[1] == 2000
    assert usable(Ask(devices=1, cpu=12000), left, cpu=36000)[1] == 3000
    assert usable(Ask(devices=1, memory=8 * MIB), left, memory=8 * MIB)[1] == 1000
    assert usable(Ask(devices=1, cpu=12000), left, cpu=11999) == (0, 0)


def test_a_node_of_another_model_is_of_no_use() -> None:
    picky = Ask(devices=1, models=frozenset({"A100"}))
    assert usable(picky, [1000], model=0) == (0, 0)
    assert usable(picky, [1000], model=1) == (1000 * (ONE_MORE + 1), 1000)


def test_what_is_scarce_weighs_more_by_the_square() -> None:
    fragmentation = Fragmentation(Demand((Ask(devices=1), Ask(devices=2)), (5.0, 5.0)), ["H100"])
    weights = fragmentation.weights(np.array([8000.0, 2000.0, *([8000.0] * len(PRIOR))]), 8000)
    assert weights[1] == pytest.approx(16 * weights[0])


def test_nothing_weighs_anything_when_nothing_is_idle() -> None:
    fragmentation = Fragmentation(Demand((), ()), ["H100"])
    assert not fragmentation.weights(np.zeros(len(PRIOR)), 0).any()


def test_losses_that_differ_by_rounding_are_equal() -> None:
    assert least(np.array([2.0, 1.0, 1.000001, 1.01], dtype=np.float32)).tolist() == [False, True, True, False]
    assert least(np.zeros(2, dtype=np.float32)).all()


def test_what_is_kept_up_to_date_row_by_row_is_what_one_look_at_all_gives() -> None:
    generator = np.random.default_rng(1)
    asks = [Ask(1, 470, cpu=4000), Ask(2, cpu=9000, memory=MIB), Ask(8), Ask(1, models=frozenset({"A100"}))]
    fragmentation = Fragmentation(Demand.of(asks), ["A100", "H100"])
    model = generator.integers(2, size=6)
    kept = Standing(fragmentation, model, 8)
    for _ in range(20):
        left = generator.choice([0, 190, 530, 1000], size=(6, 8))
        cpu, memory = generator.integers(100000, size=6), generator.integers(9 * MIB, size=6)
        holders = generator.integers(3, size=(6, 8))
        for row in generator.permutation(6):
            one = np.array([row])
            kept.refresh(one, (left[one], left[one], holders[one]), cpu[one], memory[one])
        fresh = Standing(fragmentation, model, 8)
        fresh.refresh(np.arange(6), (left, left, holders), cpu, memory)
        for name in ("offers", "usable", "filled", "total", "key"):
            assert (getattr(kept, name) == getattr(fresh, name)).all(), name


def test_nodes_in_one_state_have_one_key_and_others_have_another() -> None:
    standing = Standing(Fragmentation(Demand((), ()), ["H100"]), np.zeros(3, dtype=np.int64), 2)
    left = np.array([[1000, 500], [1000, 500], [500, 1000]])
    nothing = np.zeros((3, 2), dtype=np.int64)
    standing.refresh(np.arange(3), (left, nothing, nothing), np.full(3, 8000), np.full(3, MIB))
    assert standing.key[0] == standing.key[1] != standing.key[2]

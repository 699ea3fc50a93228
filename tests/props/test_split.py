"""What holds for the split of traffic and for who stays with whom, whatever the weights."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serve_apps.gateway.routes import Routes
from serve_apps.gateway.table import Arm, Model, Replica, Table

weights = st.one_of(st.floats(0.001, 1000), st.integers(0, 100).map(float))
splits = st.lists(weights, min_size=1, max_size=6).filter(lambda found: sum(found) > 0)
KEYS = [f"user-{number}" for number in range(600)]


def table_of(found: list[float], version: int = 1) -> Table:
    arms = tuple(
        Arm(str(index), weight, (Replica(str(index), f"http://{index}"),)) for index, weight in enumerate(found)
    )
    return Table(version, {"m": Model(arms)}, 1)


def owners(found: list[float]) -> dict[str, int]:
    routes, table = Routes(), table_of(found)
    return {key: int(routes.pick(table, "m", key, 0.0).slot.arm.version) for key in KEYS}


@settings(max_examples=60, deadline=None)
@given(splits, st.integers(0, 400), st.integers(1, 400))
def test_every_arm_has_its_share_of_any_window(found: list[float], start: int, length: int) -> None:
    routes, table, total = Routes(), table_of(found), sum(found)
    order = [int(routes.pick(table, "m", None, 0.0).slot.arm.version) for _ in range(start + length)]
    arms = sum(weight > 0 for weight in found)
    bound = (1 - 1 / (2 * arms - 2) if arms > 1 else 0) + 1e-6
    prefix, window = Counter(order[:length]), Counter(order[start:])
    for index, weight in enumerate(found):
        share = weight / total
        assert abs(prefix[index] - length * share) <= bound
        assert abs(window[index] - length * share) <= 2 * bound
        assert weight or not prefix[index]


@settings(max_examples=20, deadline=None)
@given(splits)
def test_after_a_thousand_requests_the_error_is_under_one_percent(found: list[float]) -> None:
    routes, table, total = Routes(), table_of(found), sum(found)
    counted = Counter(int(routes.pick(table, "m", None, 0.0).slot.arm.version) for _ in range(1000))
    assert all(abs(counted[index] / 1000 - weight / total) < 0.01 for index, weight in enumerate(found))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.data())
def test_a_key_moves_only_to_an_arm_whose_weight_grew_against_that_of_the_arm_it_leaves(
    arms: int, data: st.DataObject
) -> None:
    lists = st.lists(st.floats(0.01, 100), min_size=arms, max_size=arms)
    before, after = data.draw(lists), data.draw(lists)
    old, new = owners(before), owners(after)
    for key in KEYS:
        left, joined = old[key], new[key]
        assert left == joined or after[joined] / after[left] > before[joined] / before[left]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.integers(1, 99))
def test_a_canary_step_moves_the_step_and_no_more(first: int, second: int) -> None:
    """600 keys, so a share is seen to within five standard deviations of a binomial: 0.1."""
    assume(first < second)
    old, new = owners([100 - first, first]), owners([100 - second, second])
    assert all(new[key] == 1 for key in KEYS if old[key] == 1)
    moved = sum(old[key] != new[key] for key in KEYS) / len(KEYS)
    assert abs(moved - (second - first) / 100) < 0.1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 100).map(float), min_size=2, max_size=5).filter(lambda found: sum(found) > 0))
def test_every_arm_owns_its_share_of_the_keys_and_without_weight_none(found: list[float]) -> None:
    counted, total = Counter(owners(found).values()), sum(found)
    for index, weight in enumerate(found):
        assert abs(counted[index] / len(KEYS) - weight / total) < 0.1
        assert weight or not counted[index]


def test_an_arm_that_comes_takes_its_keys_from_all_and_one_that_leaves_gives_them_back() -> None:
    three, four = owners([1, 1, 1, 0]), owners([1, 1, 1, 1])
    moved = [key for key in KEYS if three[key] != four[key]]
    assert all(four[key] == 3 for key in moved)
    assert {three[key] for key in moved} == {0, 1, 2}


def test_models_draw_apart_so_that_two_experiments_do_not_pick_the_same_people() -> None:
    arms = tuple(Arm(version, 1, (Replica(version, f"http://{version}"),)) for version in ("1", "2"))
    routes, table = Routes(), Table(1, {"m": Model(arms), "n": Model(arms)}, 1)
    both = Counter(tuple(routes.pick(table, name, key, 0.0).slot.arm.version for name in ("m", "n")) for key in KEYS)
    assert all(90 < both[pair] < 210 for pair in itertools.product("12", repeat=2))

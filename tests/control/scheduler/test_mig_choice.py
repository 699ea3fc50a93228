"""On which device, and where on it, an instance is created."""

from __future__ import annotations

import pytest

from control.scheduler.mig import Placed
from control.scheduler.mig_choice import Cut, choose, popularity_of, ways_of
from tests.control.scheduler.test_mig import A30, H100

EMPTY = Cut()


def cut(*placed: tuple[str, int]) -> Cut:
    return Cut.of(H100, [Placed(*one) for one in placed])


def test_a_small_request_goes_where_something_runs_already() -> None:
    assert choose(H100, [EMPTY, EMPTY, cut(("1g.10gb", 6)), EMPTY], "1g.10gb", {}) == (2, 4)


def test_a_large_request_takes_the_first_of_the_empty_devices() -> None:
    assert choose(H100, [cut(("1g.10gb", 6)), EMPTY, EMPTY], "7g.80gb", {}) == (1, 0)


def test_three_slices_go_to_the_upper_half_for_four_can_only_start_in_the_lower() -> None:
    assert choose(H100, [EMPTY], "3g.40gb", {}) == (0, 4)


def test_of_two_holes_the_one_that_fits_exactly_is_filled() -> None:
    hole = cut(("4g.40gb", 0), ("2g.20gb", 4))
    wide = cut(("4g.40gb", 0))
    assert choose(H100, [wide, hole], "1g.10gb", {}) == (1, 6)


def test_of_devices_as_full_the_one_with_more_instances_is_taken_the_other_may_soon_be_empty() -> None:
    one, many = cut(("4g.40gb", 0)), cut(*(("1g.10gb", start) for start in range(4)))
    assert one.taken == many.taken
    assert choose(H100, [one, many], "3g.40gb", {}) == (1, 4)


def test_what_is_often_asked_for_decides_what_is_kept_open() -> None:
    """Beside 2g.20gb at 4 a slice at 6 spoils nothing, unless it is 1g.20gb that everybody asks for."""
    devices = [cut(("2g.20gb", 4), ("4g.40gb", 0)), cut(("2g.20gb", 4), ("2g.20gb", 2), ("1g.10gb", 0))]
    assert choose(H100, devices, "1g.10gb", {"1g.10gb": 900}) == (0, 6)
    assert choose(H100, devices, "1g.10gb", {"1g.20gb": 900}) == (1, 1)


def test_where_no_device_has_a_start_there_is_no_choice() -> None:
    assert choose(H100, [cut(("1g.10gb", 3))], "7g.80gb", {}) is None
    assert choose(H100, [cut(("1g.10gb+me", 3))], "1g.10gb+me", {}) is None, "the media engines are taken"
    assert choose(H100, [], "1g.10gb", {}) is None


def test_media_engines_are_kept_for_those_who_ask_for_them_only_by_their_own_slice() -> None:
    assert choose(H100, [cut(("1g.10gb+me", 6))], "1g.10gb", {}) is not None


def test_a_profile_that_nobody_asked_for_so_far_is_placed_too() -> None:
    assert choose(A30, [EMPTY], "2g.12gb+me", {"1g.6gb": 1000}) is not None


def test_with_nothing_asked_all_profiles_are_as_popular_but_those_with_media_engines() -> None:
    assert popularity_of(A30, {}) == (0.33, 0.0, 0.33, 0.0, 0.33)
    assert popularity_of(A30, {"1g.6gb+me": 1}) == (0.25,) * 3 + (0.0, 0.25)
    assert popularity_of(A30, {"4g.24gb": 7}) == (0.1, 0.0, 0.1, 0.0, 0.8)


def test_the_same_fleet_in_another_order_gives_the_same_kind_of_device_and_the_same_start() -> None:
    devices = [EMPTY, cut(("1g.10gb", 6)), cut(("2g.20gb", 4)), cut(("3g.40gb", 4)), cut(("1g.20gb", 6))]
    for profile in H100.profiles:
        found = {
            (order[index], start)
            for order in (devices, devices[::-1], devices[2:] + devices[:2])
            for index, start in [choose(H100, order, profile, {"1g.10gb": 3}) or pytest.fail(profile)]
        }
        assert len(found) == 1


def test_thousands_of_devices_are_chosen_from_by_their_kinds() -> None:
    """The ways of a geometry are the states that devices can be in, not the devices."""
    ways = ways_of(H100)
    assert len(ways.states) == 709
    population = {EMPTY: 1_000_000, cut(("1g.10gb", 6)): 1}
    assert ways.cheapest(population, "1g.10gb", popularity_of(H100, {})) == (cut(("1g.10gb", 6)), 4)

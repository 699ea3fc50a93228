"""Why a layout cannot be had, in words, and what could be had instead."""

from __future__ import annotations

from collections import Counter

import pytest

from control.scheduler.mig import Placed, arrange
from control.scheduler.mig_layouts import count_fault, fault_of, shown
from tests.control.scheduler.test_mig import A30, H100


def placed(text: str) -> list[Placed]:
    """`3g.40gb 4, 1g.10gb 0`."""
    return [Placed(profile, int(start)) for profile, start in (one.split() for one in text.split(", "))]


@pytest.mark.parametrize(
    ("layout", "found", "instead"),
    [
        (
            "3g.40gb 0, 2g.20gb 2",
            "3g.40gb at 0 and 2g.20gb at 2 both take memory slices 2 and 3",
            "3g.40gb at 0, 2g.20gb at 4",
        ),
        (
            "1g.10gb 5, 2g.20gb 4",
            "1g.10gb at 5 and 2g.20gb at 4 both take memory slice 5",
            "2g.20gb at 4, 1g.10gb at 6",
        ),
        ("3g.40gb 2", "3g.40gb cannot start at memory slice 2, only at 0 and 4", "3g.40gb at 4"),
        ("1g.10gb 7", "1g.10gb cannot start at memory slice 7, only at 0, 1, 2, 3, 4, 5 and 6", "1g.10gb at 6"),
        (
            "4g.40gb 0, 4g.40gb 4",
            "4g.40gb cannot start at memory slice 4, only at 0",
            "4g.40gb at 0, 3g.40gb at 4",
        ),
        ("3g.20gb 4", "an H100-80GB has no profile 3g.20gb, did you mean 3g.40gb?", "3g.40gb at 4"),
        (
            "1g.10gb+me 0, 1g.10gb+me 3",
            "1g.10gb+me at 0 and 1g.10gb+me at 3 both take the media engines",
            "1g.10gb+me at 0, 1g.10gb at 1",
        ),
    ],
)
def test_it_says_which_slices_collide_and_a_legal_layout_near_it(layout: str, found: str, instead: str) -> None:
    fault = fault_of(H100, placed(layout))
    assert fault is not None
    assert str(fault) == f"{found}; a legal layout near it: {instead}"
    assert fault_of(H100, fault.instead) is None


def test_a_legal_layout_has_no_fault_in_whatever_order_it_is_written() -> None:
    assert fault_of(H100, placed("3g.40gb 4, 1g.10gb 3, 2g.20gb 0")) is None
    assert fault_of(A30, placed("2g.12gb 2, 1g.6gb+me 0")) is None
    assert fault_of(H100, []) is None


@pytest.mark.parametrize(
    ("counts", "found", "instead"),
    [
        (
            {"1g.10gb": 1, "3g.40gb": 2},
            "no place is left for 1g.10gb number 1: every start of it collides with 3g.40gb at 0 and 4",
            {"3g.40gb": 2},
        ),
        (
            {"4g.40gb": 2},
            "no place is left for 4g.40gb number 2: every start of it collides with 4g.40gb at 0",
            {"4g.40gb": 1, "3g.40gb": 1},
        ),
        (
            {"1g.10gb": 900},
            "no place is left for 1g.10gb number 8: every start of it collides with 1g.10gb at 0, 1, 2, 3, 4, 5 and 6",
            {"1g.10gb": 7},
        ),
        (
            {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 3},
            "no place is left for 1g.10gb number 3: every start of it collides with 1g.10gb at 0 and 1, 2g.20gb at 2,"
            " 3g.40gb at 4",
            {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2},
        ),
        ({"1g.5gb": 2}, "an H100-80GB has no profile 1g.5gb, did you mean 1g.10gb?", {"1g.10gb": 2}),
        ({"1g.10gb": -1, "3g.40gb": 1}, "-1 instances of 1g.10gb are asked for", {"3g.40gb": 1}),
        (
            {"half": 1},
            "an H100-80GB has no profile half, expected one of 1g.10gb, 1g.10gb+me, 1g.20gb, 2g.20gb, 3g.40gb,"
            " 4g.40gb, 7g.80gb",
            {},
        ),
    ],
)
def test_so_many_of_each_that_find_no_place_are_told_with_what_could_be_had(
    counts: dict[str, int], found: str, instead: dict[str, int]
) -> None:
    fault = count_fault(H100, counts)
    assert fault is not None
    assert fault.found == found
    assert Counter(one.profile for one in fault.instead) == instead
    assert fault_of(H100, fault.instead) is None


def test_counts_have_a_fault_exactly_when_they_have_no_arrangement() -> None:
    names = list(A30.profiles)
    for number in range(3 ** len(names)):
        counts = {name: number // 3**index % 3 for index, name in enumerate(names)}
        assert (count_fault(A30, counts) is None) is (arrange(A30, counts) is not None)


def test_instances_are_shown_by_profile() -> None:
    assert shown(placed("1g.10gb 6, 3g.40gb 0, 1g.10gb 4, 1g.10gb 5")) == "1g.10gb at 4, 5 and 6, 3g.40gb at 0"
    assert shown([]) == "no instance"

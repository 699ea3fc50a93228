"""The bench of MIG choices: its peers obey the hardware, and it finds what it is there to find."""

from __future__ import annotations

import pytest

from control.scheduler.mig import Placed, geometry_of
from scripts.bench.mig import MIXES, POLICIES, Biplane, Exhaustive, FirstFit, Held, Policy, Templates, measure, requests

H100 = geometry_of("H100", 0)
assert H100 is not None
SMALL_FLEET = 40


def placed(policy: Policy, *profiles: str) -> list[Held | None]:
    return [policy.place(profile) for profile in profiles]


def test_first_fit_takes_the_first_device_and_the_lowest_start() -> None:
    assert H100 is not None
    first, second, third = placed(FirstFit(H100, 2), "1g.10gb", "4g.40gb", "3g.40gb")
    assert (first, second, third) == (
        (0, Placed("1g.10gb", 0)),
        (1, Placed("4g.40gb", 0)),
        (0, Placed("3g.40gb", 4)),
    )


def test_a_templates_device_serves_from_its_template_until_it_is_empty() -> None:
    assert H100 is not None
    policy = Templates(H100, 1)
    held = placed(policy, "1g.10gb", *["1g.10gb"] * 6)
    assert None not in held
    assert policy.place("3g.40gb") is None
    assert policy.place("1g.10gb") is None, "the template has seven"
    for one in held:
        assert one is not None
        policy.release(one)
    assert placed(policy, "4g.40gb", "1g.10gb") == [(0, Placed("3g.40gb", 0))] * 2, "as much memory, or more"
    assert policy.place("1g.10gb") is None


def test_the_exhaustive_best_moves_what_runs_within_its_device() -> None:
    assert H100 is not None
    policy, stuck = Exhaustive(H100, 1, MIXES["even"]), FirstFit(H100, 1)
    for one in (policy, stuck):
        held = placed(one, *["1g.10gb"] * 4)
        for index in (1, 2):
            released = held[index]
            assert released is not None
            one.release(released)
    assert stuck.place("4g.40gb") is None
    assert policy.place("4g.40gb") is not None
    assert policy.place("4g.40gb") is None


def test_every_policy_gives_back_what_was_released() -> None:
    assert H100 is not None
    for policy in (Biplane(H100, 1), FirstFit(H100, 1), Templates(H100, 1), Exhaustive(H100, 1, MIXES["even"])):
        for _ in range(3):
            held = policy.place("7g.80gb")
            assert held is not None
            assert policy.place("1g.10gb") is None
            policy.release(held)


def test_the_load_is_the_share_of_the_memory_slices_that_is_asked_for() -> None:
    assert H100 is not None
    asked = list(requests(H100, SMALL_FLEET, MIXES["small"], 90, 1))
    slices = sum(H100.profiles[one.profile].memory_slices * one.stays for one in asked) / asked[-1].at
    assert slices == pytest.approx(0.9 * SMALL_FLEET * 8, rel=0.1)
    assert asked == list(requests(H100, SMALL_FLEET, MIXES["small"], 90, 1)), "a seed says it all"


def test_a_tenth_fewer_are_rejected_than_by_first_fit_and_hardly_more_than_at_best() -> None:
    """The smaller the fleet, the more chance weighs: this is an eighth of the bench's."""
    accepted = measure(MIXES["even"], 105, 1, 100)
    assert tuple(accepted) == POLICIES
    assert 100 - accepted["biplane"] <= 0.9 * (100 - accepted["first_fit"])
    assert accepted["biplane"] >= accepted["exhaustive"] - 1
    assert accepted["templates"] < accepted["biplane"]

"""Whether a roll-out goes on, from what the store says of a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from control.rolling import Rolling
from control.router.rollout_json import to_json
from control.router.rollout_state import Release, Stage, State

OLD, NEW = Release(3, "aa"), Release(4, "bb")
BUILD = {"model": "chat", "engine": {"max_model_len": 9}, "workload": {"devices": 2, "queue": "product"}}


def status(stage: Stage, **changes: Any) -> dict[str, Any]:
    state = State(**{"stage": stage, "stable": OLD, "target": NEW, "percent": 25.0, **changes})
    builds = [{"version": 4, "settings": "bb", "engine": {}}, {"version": 3, "settings": "aa", **BUILD}]
    return {"rollout": to_json(state), "builds": builds}


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.STEADY])
def test_a_roll_out_goes_on_from_when_its_version_meets_traffic(stage: Stage) -> None:
    assert (Rolling.of(status(stage)) is None) is (stage is Stage.PREPARING)


def test_it_says_from_where_to_where_and_how_far() -> None:
    rolling = Rolling.of(status(Stage.STEPPING))
    assert str(rolling) == "a roll-out from version 3 to version 4 goes on (25 % of the traffic so far)"
    first = Rolling.of(status(Stage.STEPPING, stable=None))
    assert str(first) == "a roll-out to version 4 goes on (25 % of the traffic so far)"


def test_it_knows_what_the_version_before_was_made_with_but_for_what_changes_in_place() -> None:
    rolling = Rolling.of(status(Stage.KEEPING))
    assert rolling is not None
    assert rolling.back == {"model": "chat", "engine": {"max_model_len": 9}, "workload": {"devices": 2}}


def test_without_one_there_is_nothing() -> None:
    assert Rolling.of({}) is None
    assert Rolling.of(status(Stage.STEADY, target=None)) is None

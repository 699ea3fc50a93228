"""How many replicas each release of a roll-out has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control.router.replicas import replicas_of
from control.router.rollout_state import Look, Stage, State
from tests.control.router.course import V1, V2, spec

STEADY = State(stable=V1)
COMING = State(stage=Stage.STEPPING, stable=V1, target=V2)


def look(strategy: str, **fields: Any) -> Look:
    return Look(0.0, spec(strategy, **fields), "d", V2, {})


@pytest.mark.parametrize("strategy", ["instant", "canary", "rolling", "blue-green", "shadow"])
def test_a_release_alone_has_all(strategy: str) -> None:
    assert replicas_of(STEADY, look(strategy), 4) == {V1: 4}
    assert replicas_of(STEADY, look(strategy), 0) == {V1: 0}


@pytest.mark.parametrize("strategy", ["instant", "canary", "blue-green", "shadow"])
def test_whoever_may_have_to_take_all_traffic_at_once_has_replicas_for_that(strategy: str) -> None:
    assert replicas_of(replace(COMING, percent=5.0), look(strategy), 4) == {V1: 4, V2: 4}


@pytest.mark.parametrize(("percent", "left"), [(0.0, 4), (25.0, 3), (49.9, 3), (50.0, 2), (100.0, 0)])
def test_a_rolling_update_takes_one_away_for_each_that_can_serve(percent: float, left: int) -> None:
    assert replicas_of(replace(COMING, percent=percent), look("rolling"), 4) == {V1: left, V2: 4}


def test_what_comes_to_a_sleeping_deployment_is_started_once() -> None:
    assert replicas_of(COMING, look("instant"), 0) == {V1: 0, V2: 1}
    assert replicas_of(COMING, look("canary"), 0) == {V1: 1, V2: 1}


def test_the_arms_of_an_ab_test_have_their_parts_rounded_up() -> None:
    arms = [{"name": "a", "version": 1, "percent": 90}, {"name": "b", "version": 2, "percent": 10}]
    test = replace(look("ab", arms=arms), named={"a": V1, "b": V2})
    assert replicas_of(STEADY, test, 10) == {V1: 9, V2: 1}
    assert replicas_of(STEADY, test, 1) == {V1: 1, V2: 1}

"""What a person may ask of a roll-out, and what becomes of it when something else is wanted or cannot serve."""

from __future__ import annotations

import pytest

from control.router.rollout_state import Action, Event
from tests.control.router.course import V1, V2, V3, Course, canary, events, spec, weights


def test_a_new_target_during_a_rollout_begins_at_the_stable_version() -> None:
    course = canary()
    course.serve_both()
    assert weights(course.turn(60))[V2] == 0.25
    other = course.turn(1, wanted=V3)
    assert events(other) == [Event.SUPERSEDED, Event.STEPPED]
    assert other.happened[0][1] == (
        "version 3 (s) is wanted instead of version 2 (s): it begins at version 1 (s) again"
    )
    assert weights(other) == {V3: 0.05, V1: 0.95}


def test_a_target_that_is_not_wanted_any_more_goes_without_having_failed() -> None:
    for wanted in (V1, None):
        course = canary()
        gone = course.turn(1, wanted=wanted)
        assert (events(gone), weights(gone), gone.state.failures) == ([Event.WITHDRAWN], {V1: 1.0}, ())


def test_a_pause_stops_the_steps_but_does_not_protect_what_is_worse() -> None:
    course = canary()
    assert events(course.ask(Action.PAUSE)) == [Event.PAUSED]
    course.serve_both()
    paused = course.turn(600)
    assert (weights(paused)[V2], paused.reason) == (0.05, "version 2 (s) takes 5 %: paused: pause, asked for by ada")
    assert events(course.ask(Action.RESUME, 2)) == [Event.RESUMED, Event.STEPPED]
    course.ask(Action.PAUSE, 3)
    course.serve_both(bad=60)
    assert events(course.turn(1)) == [Event.ROLLED_BACK]


def test_a_person_may_promote_at_once_and_the_old_version_stays_warm() -> None:
    course = canary()
    now = course.ask(Action.PROMOTE)
    assert (events(now), weights(now), now.keeps) == ([Event.SWITCHED], {V2: 1.0}, frozenset({V1, V2}))
    assert events(course.ask(Action.PROMOTE, 2)) == [Event.PROMOTED]


def test_a_person_may_abort_and_it_is_not_tried_again() -> None:
    course = canary()
    back = course.ask(Action.ABORT)
    assert (events(back), weights(back)) == ([Event.ABORTED], {V1: 1.0})
    assert course.turn(600).reason.endswith("abort, asked for by ada")


@pytest.mark.parametrize("action", Action)
def test_a_request_is_answered_once_and_refused_where_nothing_goes_on(action: Action) -> None:
    course = Course(spec("canary"), wanted=V1)
    refused = course.ask(action)
    assert events(refused) == [Event.REFUSED]
    assert refused.happened[0][1] == f"nothing to {action.value}: no roll-out goes on"
    assert events(course.turn(1)) == []


def test_what_cannot_serve_is_not_promoted_by_anybody() -> None:
    course = canary()
    course.turn(ready={V1: 1.0, V2: 0.0})
    refused = course.ask(Action.PROMOTE)
    assert (events(refused), weights(refused)) == ([Event.REFUSED], {V1: 1.0})


def test_a_target_that_cannot_serve_leaves_its_part_to_the_stable_version() -> None:
    course = canary()
    assert weights(course.turn(1, ready={V1: 1.0, V2: 0.0})) == {V1: 1.0}
    assert weights(course.turn(1, ready={V1: 1.0, V2: 1.0}))[V2] == 0.05

"""Roll-outs step by step: what each strategy does, what is waited for and said."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from control.router.rollout import replay
from control.router.rollout_state import TRANSITIONS, Action, Event, Reading, Stage, State
from tests.control.router.course import V1, V2, V3, Course, canary, events, spec, traffic, weights


def test_the_first_version_serves_as_soon_as_it_can() -> None:
    course = Course(spec("canary"), stable=None)
    waiting = course.turn(ready={V2: 0.0})
    assert weights(waiting) == {}
    assert "none of its replicas can serve yet" in waiting.reason
    done = course.turn(ready={V2: 1.0})
    assert (weights(done), done.state.stage) == ({V2: 1.0}, Stage.STEADY)
    assert done.reason == "version 2 (s) serves"


def test_a_canary_goes_from_step_to_step_and_is_promoted() -> None:
    course = Course(spec("canary"))
    assert weights(course.turn(ready={V1: 1.0, V2: 0.5})) == {V1: 1.0}
    seen = []
    for _ in range(5):
        decision = course.turn(60, ready={V1: 1.0, V2: 1.0})
        seen.append(weights(decision).get(V2, 0))
        course.serve_both()
    assert seen == [0.05, 0.25, 0.5, 1.0, 1.0]
    assert decision.state == State(stable=V2)
    assert decision.keeps == {V2}


def test_a_step_lasts_its_time_and_its_requests() -> None:
    course = canary(hold=60, least_requests=200)
    course.serve_both()
    assert course.turn(59).reason.endswith("the step lasts at least 60s")
    course = canary()
    course.serve(V1, traffic(3000))
    course.serve(V2, traffic(199))
    assert course.turn(60).reason.endswith("the step needs 200 requests to it")
    course.serve(V2, traffic(1))
    assert events(course.turn()) == [Event.STEPPED]


def test_a_stored_reason_stays_the_same_while_the_same_is_waited_for() -> None:
    course = canary()
    course.serve_both()
    reasons = {course.turn(5).reason for _ in range(10)}
    assert reasons == {"version 2 (s) takes 5 %: the step lasts at least 60s"}


@pytest.mark.parametrize(("bad", "slow"), [(30, 0), (0, 8)])
def test_what_is_worse_goes_back_and_is_not_tried_again_until_the_spec_changes(bad: int, slow: int) -> None:
    course = canary()
    course.serve_both(bad, slow)
    back = course.turn(1)
    assert (weights(back), events(back), back.keeps) == ({V1: 1.0}, [Event.ROLLED_BACK], frozenset({V1}))
    assert "is proof" in back.happened[0][1]
    for _ in range(3):
        again = course.turn(600)
        assert (weights(again), events(again)) == ({V1: 1.0}, [])
        assert again.reason.startswith("version 2 (s) is not tried again until the spec changes: it is worse: ")
    assert events(course.turn(wanted=V3))[0] is Event.BEGUN
    course.turn(wanted=V2)
    assert course.state.target is None
    assert events(course.turn(digest="d2")) == [Event.BEGUN, Event.STEPPED]


def test_on_failure_hold_stays_where_it_is_until_a_person_says() -> None:
    course = canary(analysis={"on_failure": "hold"})
    course.serve_both(bad=30)
    held = course.turn(1)
    assert (events(held), weights(held)[V2]) == ([Event.HELD], 0.05)
    assert "held: it is worse: error_rate" in held.reason
    assert events(course.turn(600)) == []
    resumed = course.ask(Action.RESUME)
    assert (events(resumed), resumed.state.held, weights(resumed)[V2]) == ([Event.RESUMED], "", 0.05)
    course.serve_both()
    assert events(course.turn(60)) == [Event.STEPPED]


def test_without_traffic_a_canary_says_that_it_waits_for_some() -> None:
    course = canary()
    waits = course.turn(3600)
    assert waits.reason.endswith(
        "no request has come to it, and a step needs some (no_traffic: continue would go on without)"
    )
    assert weights(waits)[V2] == 0.05
    course = canary(no_traffic="continue")
    assert [weights(course.turn(60))[V2] for _ in range(4)] == [0.25, 0.5, 1.0, 1.0]
    assert course.state.stable == V2


def test_errors_after_the_last_step_still_lead_back_while_the_old_version_is_warm() -> None:
    course = Course(spec("blue-green", keep=600))
    course.turn(ready={V1: 1.0, V2: 0.0})
    course.serve(V1, traffic(3000))
    switched = course.turn(5, ready={V1: 1.0, V2: 1.0})
    assert (events(switched), weights(switched), switched.keeps) == ([Event.SWITCHED], {V2: 1.0}, frozenset({V1, V2}))
    course.serve(V2, traffic(100, errors=20))
    back = course.turn(1)
    assert (events(back), weights(back)) == ([Event.ROLLED_BACK], {V1: 1.0})


def test_blue_green_lets_the_old_version_go_when_it_was_warm_long_enough() -> None:
    course = Course(spec("blue-green", keep=600))
    course.turn()
    assert course.turn(599).keeps == {V1, V2}
    assert course.turn(1).keeps == {V2}


def test_blue_green_may_switch_only_after_copies_were_answered_as_well() -> None:
    course = Course(spec("blue-green", mirror=50))
    mirrored = course.turn()
    assert (weights(mirrored), [(s.release, s.weight) for s in mirrored.shadows]) == ({V1: 1.0}, [(V2, 0.5)])
    course.serve_both()
    assert events(course.turn(60)) == [Event.SWITCHED]
    course = Course(spec("blue-green", mirror=50))
    course.turn()
    course.serve_both(bad=30)
    assert events(course.turn(60)) == [Event.ROLLED_BACK]


def test_a_shadow_takes_no_traffic_unless_then_says_how() -> None:
    course = Course(spec("shadow"))
    course.turn()
    course.serve_both()
    shadow = course.turn(3600)
    assert (weights(shadow), shadow.shadows[0].weight) == ({V1: 1.0}, 0.1)
    assert shadow.reason.endswith("a person has to promote it (or `then:` in the spec)")
    assert weights(course.ask(Action.PROMOTE)) == {V2: 1.0}
    course = Course(spec("shadow", then="canary"))
    course.turn()
    course.serve_both()
    assert weights(course.turn(60))[V2] == 0.05


def test_rolling_moves_traffic_as_replicas_become_ready_and_never_back() -> None:
    course = Course(spec("rolling"))
    taken = [
        weights(course.turn(1, ready={V1: 1.0, V2: part})).get(V2, 0.0) for part in (0.0, 0.25, 0.5, 0.25, 0.75, 1.0)
    ]
    assert taken == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]
    assert course.state.stable == V2


def test_instant_switches_when_all_replicas_are_ready() -> None:
    course = Course(spec("instant"))
    assert weights(course.turn(ready={V1: 1.0, V2: 0.5})) == {V1: 1.0}
    done = course.turn(ready={V1: 1.0, V2: 1.0})
    assert (weights(done), done.keeps) == ({V2: 1.0}, frozenset({V2}))


AB = spec("ab", arms=[{"name": "old", "version": 1, "percent": 70}, {"name": "new", "version": 2, "percent": 30}])


def test_an_ab_test_splits_as_written_among_those_that_can_serve() -> None:
    course = Course(AB)
    both = course.turn(named={"old": V1, "new": V2})
    assert [(share.name, share.weight) for share in both.arms] == [("old", 0.7), ("new", 0.3)]
    assert both.keeps == {V1, V2}
    alone = course.turn(ready={V1: 1.0, V2: 0.0})
    assert weights(alone) == {V1: 1.0}
    assert alone.reason == "A/B test; cannot serve: new"


def test_an_ab_test_takes_the_place_of_a_rollout() -> None:
    course = canary()
    decision = course.turn(spec=AB, named={"old": V2, "new": V3})
    assert (events(decision), decision.state.target) == ([Event.SPLIT, Event.SPLIT], None)
    assert decision.state.stable == V2
    assert weights(decision) == {V2: 0.7, V3: 0.3}


def test_a_gateway_replica_that_began_anew_counts_from_then() -> None:
    course = canary()
    course.serve_both()
    course.turn(1)
    course.look = replace(
        course.look, readings={V1: Reading({"gateway-0": traffic(500)}), V2: Reading({"gateway-0": traffic(20)})}
    )
    course.turn(1)
    course.serve(V1, traffic(3000))
    course.serve(V2, traffic(180))
    assert events(course.turn(60)) == [Event.STEPPED]


def test_a_recorded_history_replays_to_the_same_states() -> None:
    course, looks, states = canary(), [], []
    for turn in range(12):
        course.serve_both(bad=20 if turn == 8 else 0)
        states.append(course.turn(20).state)
        looks.append(course.look)
    start = canary().state
    assert [decision.state for decision in replay(looks, start)] == states
    assert states[-1].failures


def test_every_pair_of_stage_and_event_either_leads_on_or_cannot_happen() -> None:
    missing = {pair for pair in product(Stage, Event) if pair not in TRANSITIONS}
    begun = {(stage, Event.BEGUN) for stage in Stage if stage is not Stage.STEADY}
    steady = {(Stage.STEADY, event) for event in Event} - {
        (Stage.STEADY, event) for event in (Event.BEGUN, Event.SPLIT, Event.REFUSED)
    }
    mirrored = {(stage, Event.MIRRORED) for stage in (Stage.SHADOWING, Stage.STEPPING, Stage.KEEPING)}
    onward = {(Stage.KEEPING, Event.STEPPED), (Stage.KEEPING, Event.SWITCHED)}
    too_early = {(stage, Event.PROMOTED) for stage in (Stage.SHADOWING, Stage.STEPPING)}
    assert missing == begun | steady | mirrored | onward | too_early

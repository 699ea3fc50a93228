"""What never happens in a roll-out, whatever versions, replicas, clocks and people do."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from control.router.rollout import decide
from control.router.rollout_json import from_json, to_json
from control.router.rollout_state import Action, Decision, Event, Look, Reading, Release, Request, State
from control.specs.rollout import RolloutSpec
from control.traffic import Traffic

RELEASES = tuple(Release(version, "s") for version in (1, 2, 3))
V1, V2, _ = RELEASES
ARMS = [{"name": "a", "version": 1, "percent": 60}, {"name": "b", "version": 3, "percent": 40}]
SPECS = tuple(
    RolloutSpec.model_validate(written)
    for written in (
        {"strategy": "canary"},
        {"strategy": "canary", "steps": [10, 100], "hold": 0, "least_requests": 0},
        {"strategy": "canary", "no_traffic": "continue", "analysis": {"on_failure": "hold"}},
        {"strategy": "blue-green", "keep": 30},
        {"strategy": "blue-green", "mirror": 20},
        {"strategy": "shadow"},
        {"strategy": "shadow", "then": "canary", "steps": [50, 100]},
        {"strategy": "ab", "arms": ARMS},
        {"strategy": "rolling"},
        {"strategy": "instant"},
    )
)
briefly = settings(max_examples=60, deadline=None)
ready = st.fixed_dictionaries({release: st.sampled_from([0.0, 0.5, 1.0]) for release in RELEASES})
traffic = st.fixed_dictionaries(
    {release: st.sampled_from([(0, 0), (100, 0), (100, 30), (1000, 0)]) for release in RELEASES}
)


@st.composite
def histories(draw: st.DrawFn) -> list[Look]:
    """Looks at a world in which anything may change, the clock's going back and a count's beginning anew included."""
    looks: list[Look] = []
    now, number, counted = 1000.0, 0, dict.fromkeys(RELEASES, Traffic())
    spec, digest, wanted = draw(st.sampled_from(SPECS)), "d0", draw(st.sampled_from(RELEASES))
    for turn in range(draw(st.integers(1, 12))):
        now += draw(st.sampled_from([0, 1, 30, 60, 700, -40]))
        match draw(st.sampled_from(["spec", "wanted", "ask", "restart", "", "", "", ""])):
            case "spec":
                spec, digest = draw(st.sampled_from(SPECS)), f"d{turn}"
            case "wanted":
                wanted = draw(st.sampled_from(RELEASES))
            case "ask":
                number += 1
            case "restart":
                counted = dict.fromkeys(RELEASES, Traffic())
        for release, (requests, errors) in draw(traffic).items():
            counted[release] += Traffic(requests, errors, {50: requests}, {}, {60: requests - errors})
        looks.append(
            Look(
                now,
                spec,
                digest,
                draw(st.sampled_from([wanted, wanted, wanted, None])),
                draw(ready),
                {release: Reading({"gateway-0": one}) for release, one in counted.items()},
                {"a": V1, "b": RELEASES[2]},
                Request(number, draw(st.sampled_from(Action))) if number else None,
            )
        )
    return looks


def read_again(state: State) -> State:
    return from_json(json.loads(json.dumps(to_json(state))))


def decisions(looks: list[Look], stable: Release | None) -> list[tuple[State, Look, Decision]]:
    state, found = State(stable=stable), []
    for look in looks:
        decision = decide(state, look)
        found.append((state, look, decision))
        state = decision.state
    return found


first = st.sampled_from([None, V1])


@given(histories(), first)
@briefly
def test_weights_add_up_to_one_and_none_is_below_zero(looks: list[Look], stable: Release | None) -> None:
    for _, look, decision in decisions(looks, stable):
        weights = [share.weight for share in decision.arms]
        assert all(weight >= 0 for weight in weights)
        assert abs(sum(weights) - 1) < 1e-9 or (not weights and decision.state.stable is None)
        assert all(0 < share.weight <= 1 and look.ready[share.release] for share in decision.shadows)


@given(histories(), first)
@briefly
def test_a_failed_version_takes_no_traffic_and_no_copies_until_the_spec_changes(
    looks: list[Look], stable: Release | None
) -> None:
    for _, look, decision in decisions(looks, stable):
        for share in (*decision.arms, *decision.shadows):
            assert not decision.state.why_failed(share.release, look.digest)


@given(histories(), first)
@briefly
def test_who_takes_traffic_is_kept_running(looks: list[Look], stable: Release | None) -> None:
    for _, _, decision in decisions(looks, stable):
        assert {share.release for share in (*decision.arms, *decision.shadows)} <= decision.keeps


@given(histories(), first)
@briefly
def test_a_target_never_takes_less_than_before_unless_it_goes_back(looks: list[Look], stable: Release | None) -> None:
    restarts = {Event.SUPERSEDED, Event.BEGUN}
    for before, _, decision in decisions(looks, stable):
        events = {event for event, _ in decision.happened}
        if before.target is not None and before.target == decision.state.target and not events & restarts:
            assert decision.state.percent >= before.percent


@given(histories(), first)
@briefly
def test_a_decision_that_is_repeated_is_the_same(looks: list[Look], stable: Release | None) -> None:
    for _, look, decision in decisions(looks, stable):
        again = decide(decision.state, look)
        assert (again.state, again.arms, again.shadows, again.happened) == (
            decision.state,
            decision.arms,
            decision.shadows,
            (),
        )


@given(histories(), first)
@briefly
def test_what_is_read_again_from_the_store_decides_alike(looks: list[Look], stable: Release | None) -> None:
    for before, look, decision in decisions(looks, stable):
        assert read_again(decision.state) == decision.state
        assert decide(read_again(before), look) == decision


@given(
    st.sampled_from([SPECS[0], SPECS[3], SPECS[4], SPECS[6]]),
    st.booleans(),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=8, max_size=8),
)
@briefly
def test_whatever_was_lost_in_crashes_good_versions_come_to_serve_and_bad_ones_go_back(
    spec: RolloutSpec, good: bool, lost: list[bool], flapping: list[float]
) -> None:
    """A crash between deciding and storing forgets the decision: the next look meets the state before it."""
    state = State(stable=V1)
    look = Look(0.0, spec, "d", V2, {V1: 1.0, V2: 1.0})
    mine = theirs = Traffic(1000, 0, {50: 1000}, {}, {60: 1000})
    for turn in range(40):
        here = replace(
            look,
            now=31.0 * turn,
            ready={V1: 1.0, V2: flapping[turn] if turn < len(flapping) else 1.0},
            readings={V1: Reading({"": theirs}), V2: Reading({"": mine})},
        )
        decision = decide(state, here)
        if turn >= len(lost) or not lost[turn]:
            state = read_again(decision.state)
        theirs += Traffic(2000, 0, {50: 2000}, {}, {60: 2000})
        mine += Traffic(300, 0 if good else 45, {50: 300}, {}, {60: 300})
    assert (state.stable, state.target) == (V2 if good else V1, None)
    assert [failure.release for failure in state.failures] == ([] if good else [V2])

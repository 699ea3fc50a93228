"""A deployment that says how its traffic moves: what the gateway's replicas count decides how far it goes."""

from __future__ import annotations

import pytest

from control.kernel.ids import AppName
from control.kernel.plan import PutSpec
from control.kernel.present import AppState
from control.router.rollout_state import Action
from control.router.view import REQUEST_KIND
from control.traffic import BEAT_PREFIX, Traffic, bucket, document
from tests.control.router.world import deployment, phase, plane_with, serving, status, workloads
from tests.fakes.plane import Plane

CANARY = "  rollout: {strategy: canary, steps: [10, 50, 100], hold: 5, least_requests: 50}\n"


def canary() -> Plane:
    """Version 1 serves, version 2 takes its first tenth."""
    plane = plane_with(1, deployment() + CANARY)
    plane.settle()
    plane.mlflow.register("chat", "second")
    plane.until(lambda: len(plane.models()) == 2)
    for app in plane.models():
        plane.drive.turn_app(app, AppState.RUNNING)
    plane.until(lambda: phase(plane)[0] == "RollingOut")
    return plane


def shares(plane: Plane) -> dict[int, float]:
    return {arm["version"]: round(arm["weight"], 3) for arm in plane.only("Deployment").status["arms"]}


def answer(plane: Plane, errors: float = 0.0) -> None:
    """The gateway's replica has counted 4,000 more requests over all arms; version 2 fails at this rate."""
    beats = [beat.body["apps"] for beat in plane.store.heartbeats() if beat.actor.startswith(BEAT_PREFIX)]
    before = dict(beats[0]) if beats else {}
    apps: dict[str, Traffic] = {}
    for arm in plane.only("Deployment").status["arms"]:
        (app,) = [replica["app"] for replica in arm["replicas"]]
        had = before.get(app, {}).get("requests", 0), before.get(app, {}).get("errors", 0)
        name = AppName.parse(app)
        requests = round(4000 * arm["weight"])
        failed = round(requests * errors) if name and name.version == 2 else 0
        total = had[0] + requests
        quick = {bucket(50.0): total - had[1] - failed}
        apps[app] = Traffic(total, had[1] + failed, quick, quick, quick)
    plane.store.beat(f"{BEAT_PREFIX}r1", document(apps), now=plane.clock())


def go_on(plane: Plane, seconds: float = 6.0) -> None:
    plane.clock.tick(seconds)
    plane.turn()


def ask(plane: Plane, action: Action) -> None:
    spec = {"deployment": plane.only("Deployment").uid, "action": action.value, "who": "ann"}
    request = PutSpec(kind=REQUEST_KIND, name="chat", event="Asked", reason="test", spec=spec, again=True)
    plane.store.commit((request,), who="ann", now=plane.clock())


def events(plane: Plane) -> list[str]:
    return [event.event for event in plane.store.events("Deployment", "chat")]


def test_a_new_version_takes_a_small_part_first_and_more_as_long_as_it_is_no_worse() -> None:
    plane = canary()
    assert shares(plane) == {1: 0.9, 2: 0.1}
    go_on(plane)
    assert shares(plane) == {1: 0.9, 2: 0.1}, "nobody has used it yet"
    assert "traffic" in str(phase(plane)[1])
    for expected in ({1: 0.5, 2: 0.5}, {2: 1.0}):
        answer(plane)
        go_on(plane)
        assert shares(plane) == expected
    answer(plane)
    plane.settle()
    assert (phase(plane), serving(plane)) == (("Ready", "version 2 serves"), [2])
    assert len(workloads(plane)) == 1
    assert [e for e in events(plane) if e.startswith("Rollout")] == [
        "RolloutBegun",
        "RolloutPromoted",
        "RolloutBegun",
        "RolloutStepped",
        "RolloutStepped",
        "RolloutSwitched",
        "RolloutPromoted",
    ]


def test_a_version_that_fails_goes_back_by_itself_and_is_not_tried_again_until_the_deployment_changes() -> None:
    plane = canary()
    answer(plane, errors=0.1)
    go_on(plane, 1.0)
    assert shares(plane) == {1: 1.0}
    found, reason = phase(plane)
    assert found == "RolledBack"
    assert "error" in str(reason)
    plane.settle()
    assert (phase(plane)[0], serving(plane), len(plane.models())) == ("RolledBack", [1], 1)
    plane.apply(deployment(length=512) + CANARY)
    plane.until(lambda: len(plane.models()) == 2)


def test_a_crash_between_two_looks_changes_nothing() -> None:
    plane = canary()
    before = status(plane)
    plane.restart()
    plane.turn()
    now = status(plane)
    assert {k: v for k, v in now.items() if k != "told_at"} == {k: v for k, v in before.items() if k != "told_at"}


@pytest.mark.parametrize(
    ("action", "expected"), [(Action.ABORT, {1: 1.0}), (Action.PROMOTE, {2: 1.0}), (Action.PAUSE, {1: 0.9, 2: 0.1})]
)
def test_a_person_may_decide_before_the_figures_do(action: Action, expected: dict[int, float]) -> None:
    plane = canary()
    ask(plane, action)
    plane.turn()
    assert shares(plane) == expected
    answer(plane)
    go_on(plane)
    assert shares(plane) == expected


def test_what_was_asked_of_a_deployment_that_is_gone_is_not_asked_of_the_next_of_its_name() -> None:
    plane = canary()
    ask(plane, Action.ABORT)
    plane.delete("Deployment", "chat")
    plane.settle()
    plane.apply(deployment() + CANARY)
    plane.settle()
    assert serving(plane) == [2]


def test_while_the_settings_roll_out_the_old_application_is_started_again_with_the_old_ones() -> None:
    plane = plane_with(1, deployment() + CANARY)
    plane.settle()
    (old,) = plane.models()
    plane.apply(deployment(length=512) + CANARY)
    plane.until(lambda: len(plane.models()) == 2)
    plane.drive.serve.pop(old)
    plane.turn()
    assert plane.drive.asked[old].args["engine"] == {"max_model_len": 256}
    assert old in plane.drive.serve


def test_a_shadow_gets_copies_and_no_traffic() -> None:
    plane = plane_with(1, deployment() + "  rollout: {strategy: shadow, mirror: 20}\n")
    plane.settle()
    plane.mlflow.register("chat", "second")
    plane.until(lambda: len(plane.models()) == 2)
    plane.drive.turn_app(plane.models()[1], AppState.RUNNING)
    plane.until(lambda: bool(status(plane)["shadows"]))
    assert shares(plane) == {1: 1.0}
    plane.turn()
    model = plane.table()["models"]["chat"]
    assert ([arm["version"] for arm in model["arms"]], [(s["version"], s["share"]) for s in model["shadows"]]) == (
        ["1"],
        [("2", 0.2)],
    )


def test_an_ab_test_splits_between_named_arms() -> None:
    arms = "arms: [{name: old, version: 1, percent: 70}, {name: new, version: 2, percent: 30}]"
    plane = plane_with(2, deployment() + f"  rollout: {{strategy: ab, sticky: user, {arms}}}\n")
    plane.settle()
    model = plane.table()["models"]["chat"]
    assert {arm["name"]: round(arm["weight"], 3) for arm in model["arms"]} == {"old": 0.7, "new": 0.3}
    assert model["sticky"] == "user"
    assert phase(plane)[0] == "Ready"

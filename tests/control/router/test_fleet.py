"""What the router makes of its replicas' leases: one by one, of parts of devices, wanted back, or moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from control.engine_report import EngineReport
from control.kernel.ids import AppName, app_workload
from control.kernel.placement import Placement
from control.kernel.plan import EndApp, EnsureApp, Plan, PutSpec, PutStatus, Remove
from control.kernel.present import AppState, AppView
from control.router.decide import decide
from control.router.fleet import lease_of
from control.router.retire import DRAIN_SECONDS, PATIENCE_SECONDS
from control.router.rollout_json import to_json
from control.router.rollout_state import Release, State
from control.router.state import Build, Deployment, Snapshot, Surroundings, Version
from control.specs.rollout import RolloutSpec
from control.specs.step import GrantPiece

GATEWAY = "http://here"
NOW = 100.0
CHAT = Deployment(
    name="chat",
    revision=1,
    generation=1,
    version=None,
    build=Build("chat", {"type": "inference", "devices": 1}, 0, {"max_model_len": 256}),
    replicas=2,
    rollout=RolloutSpec(strategy="instant"),
)
Leases = Sequence[Placement | None]


def gpu(node: str, *devices: str, milli: int = 1000) -> Placement:
    return Placement("why", (GrantPiece("GPU", node, devices, milli),))


BOTH = (gpu("n0", "a"), gpu("n1", "b"))
MOVED = (gpu("n0", "a"), gpu("n2", "d"))
EVICTED = tuple(replace(one, evicted="app.urgent needs its devices", deadline=NOW + 20) for one in BOTH)
LOST = Placement("n1 is gone")


def app_of(replica: int, placement: Placement) -> AppName:
    return AppName("chat", 1, CHAT.build.settings, replica, lease_of(placement))


FIRST, SECOND = (app_of(*one) for one in enumerate(BOTH))
ELSEWHERE = app_of(1, MOVED[1])


def url(app: AppName) -> str:
    return GATEWAY + app.route_prefix


def look(
    leases: Leases,
    apps: Mapping[AppName, AppState] | None = None,
    serving: Sequence[AppName] = (),
    routed: Sequence[AppName] = (),
    published_at: float = 0.0,
    now: float = NOW,
    deployment: Deployment = CHAT,
    asked: Mapping[str, Any] | None = None,
) -> Snapshot:
    """The deployment with version 1 stable, its replicas placed like that, and what it published last."""
    replicas = [{"app": str(app), "url": url(app)} for app in serving]
    arms = [{"version": 1, "weight": 1.0, "name": "", "replicas": replicas}] if serving else []
    stable = State(stable=Release(1, deployment.build.settings))
    names = [app_workload("chat", 1, deployment.build.settings, replica) for replica in range(len(leases))]
    placements = {name: lease for name, lease in zip(names, leases, strict=True) if lease is not None}
    return Snapshot(
        now=now,
        deployments=(replace(deployment, status={"phase": "Ready", "arms": arms, "rollout": to_json(stable)}),),
        versions=(Version("chat", 1, "mlflow-artifacts:/1"),),
        asked=dict.fromkeys(placements, asked or deployment.build.workload),
        placements=placements,
        apps={str(app): AppView(state) for app, state in (apps or {}).items()},
        routed=frozenset(map(url, routed)),
        published_at=published_at,
        surroundings=Surroundings(GATEWAY, "http://mlflow", "/key", "/models", "/claims"),
    )


def status_of(plan: Plan) -> tuple[str, list[str]]:
    """The phase, and the applications that take traffic."""
    (record,) = [record for record in plan.records if isinstance(record, PutStatus)]
    return record.status["phase"], [one["app"] for arm in record.status["arms"] for one in arm["replicas"]]


def started(plan: Plan) -> dict[str, EnsureApp]:
    return {effect.app: effect for effect in plan.effects if isinstance(effect, EnsureApp)}


def ended(plan: Plan) -> dict[str, str]:
    return {effect.app: effect.reason for effect in plan.effects if isinstance(effect, EndApp)}


def running(*apps: AppName) -> dict[AppName, AppState]:
    return dict.fromkeys(apps, AppState.RUNNING)


def names(*apps: AppName) -> list[str]:
    return [str(app) for app in apps]


def test_each_replica_is_an_application_on_its_own_lease() -> None:
    found = started(decide(look(BOTH)))
    assert found.keys() == set(names(FIRST, SECOND))
    first, second = (found[str(app)] for app in (FIRST, SECOND))
    assert (first.args["node_id"], first.args["devices"]) == ("n0", ["a"])
    assert (second.args["node_id"], second.args["devices"]) == ("n1", ["b"])
    assert (first.args["workload"], first.args["claims_directory"]) == (FIRST.workload, "/claims")
    assert first.args["app"] == str(FIRST)
    assert first.route_prefix != second.route_prefix


def test_engines_that_only_read_prompts_are_the_rest_of_their_replica_s_lease() -> None:
    pieces = (*BOTH[0].pieces, *BOTH[1].pieces, *gpu("n2", "c").pieces)
    split = Placement("why", pieces)
    (start,) = started(decide(look((split,), deployment=replace(CHAT, replicas=1)))).values()
    assert (start.args["node_id"], start.args["devices"]) == ("n0", ["a"])
    assert [(part["node_id"], part["devices"]) for part in start.args["prefill"]] == [("n1", ["b"]), ("n2", ["c"])]
    moved = Placement("why", (*pieces[:2], *gpu("n2", "d").pieces))
    assert len({lease_of(split), lease_of(moved), lease_of(BOTH[0])}) == 3, "another reader is another application"


def test_the_first_that_runs_serves_while_the_other_is_still_starting() -> None:
    plan = decide(look(BOTH, running(FIRST) | {SECOND: AppState.STARTING}))
    assert status_of(plan) == ("Scaling", names(FIRST))
    assert status_of(decide(look(BOTH, running(FIRST, SECOND)))) == ("Ready", names(FIRST, SECOND))


def test_a_replica_without_devices_does_not_keep_the_other_from_starting() -> None:
    plan = decide(look((BOTH[0], LOST), running(FIRST), [FIRST]))
    (record,) = [record for record in plan.records if isinstance(record, PutStatus)]
    assert (record.status["phase"], record.status["reason"]) == ("Scaling", "1 of 2 replicas serve: n1 is gone")
    assert record.status["workload"] == SECOND.workload, "explain follows the one that waits"


def test_replicas_may_share_a_device_and_are_told_how_much_of_its_memory_is_theirs() -> None:
    shared = replace(CHAT, build=replace(CHAT.build, share_memory=20 << 30))
    plan = decide(look((gpu("n0", "a", milli=250), gpu("n0", "a", milli=250)), deployment=shared))
    found = [effect.args for effect in started(plan).values()]
    assert [(args["devices"], args["milli"], args["share_memory"]) for args in found] == [(["a"], 250, 20 << 30)] * 2


def test_fewer_replicas_take_the_last_out_of_the_table_then_end_it_then_give_its_devices_back() -> None:
    fewer = replace(CHAT, replicas=1)
    plan = decide(look(BOTH, running(FIRST, SECOND), [FIRST, SECOND], [FIRST, SECOND], deployment=fewer))
    assert (status_of(plan), ended(plan)) == (("Ready", names(FIRST)), {})
    plan = decide(look(BOTH, running(FIRST, SECOND), [FIRST], [FIRST], NOW - DRAIN_SECONDS, deployment=fewer))
    assert ended(plan) == {str(SECOND): "no deployment needs it any more"}
    assert not any(isinstance(record, Remove) for record in plan.records)
    plan = decide(look(BOTH, running(FIRST), [FIRST], [FIRST], deployment=fewer))
    assert [record.name for record in plan.records if isinstance(record, Remove)] == [SECOND.workload]


def test_more_replicas_are_added_beside_those_that_serve() -> None:
    more = replace(CHAT, replicas=3)
    plan = decide(look(BOTH, running(FIRST, SECOND), [FIRST, SECOND], deployment=more))
    (asked,) = [record for record in plan.records if isinstance(record, PutSpec)]
    assert asked.name == app_workload("chat", 1, CHAT.build.settings, 2)
    assert (status_of(plan), started(plan), ended(plan)) == (("Scaling", names(FIRST, SECOND)), {}, {})


def test_a_replica_that_still_has_requests_is_not_ended_before_they_are_done_or_patience_is() -> None:
    fewer = replace(CHAT, replicas=1)
    late = look(BOTH, running(FIRST, SECOND), [FIRST], [FIRST], NOW - DRAIN_SECONDS, deployment=fewer)
    assert ended(decide(replace(late, engines={str(SECOND): EngineReport("", running=2, waiting=1)}))) == {}
    assert ended(decide(replace(late, engines={str(SECOND): EngineReport("")}))).keys() == {str(SECOND)}
    assert ended(
        decide(replace(late, engines={str(SECOND): EngineReport("", running=2, waiting=1)}, now=NOW + PATIENCE_SECONDS))
    ).keys() == {str(SECOND)}


def test_an_evicted_application_takes_no_more_traffic_and_its_devices_stay_its_own() -> None:
    plan = decide(look(EVICTED, running(FIRST, SECOND), [FIRST, SECOND], routed=[FIRST, SECOND]))
    assert status_of(plan) == ("Placing", [])
    assert (started(plan), ended(plan)) == ({}, {})
    assert not any(isinstance(record, Remove) for record in plan.records)


def test_when_one_replica_is_evicted_the_other_takes_its_traffic() -> None:
    plan = decide(look((BOTH[0], EVICTED[1]), running(FIRST, SECOND), [FIRST, SECOND], routed=[FIRST, SECOND]))
    assert status_of(plan) == ("Degraded", names(FIRST))


def test_it_is_ended_once_no_replica_of_the_gateway_can_hold_a_table_that_routes_to_it() -> None:
    early = look(EVICTED, running(FIRST, SECOND), published_at=NOW - DRAIN_SECONDS + 1)
    assert ended(decide(early)) == {}
    found = ended(decide(replace(early, now=NOW + 1)))
    assert found == dict.fromkeys(names(FIRST, SECOND), "evicted: app.urgent needs its devices")


@pytest.mark.parametrize(("now", "ends"), [(NOW + 19, False), (NOW + 20, True), (NOW + 99, True)])
def test_at_the_deadline_it_is_ended_although_a_table_still_routes_to_it(now: float, ends: bool) -> None:
    """The gateway's control actor is dead: nobody takes the application out of the table."""
    plan = decide(look(EVICTED, running(FIRST, SECOND), [FIRST, SECOND], routed=[FIRST, SECOND], now=now))
    assert bool(ended(plan)) is ends


@pytest.mark.parametrize("state", [AppState.STARTING, AppState.SICK, AppState.FAILED])
def test_an_application_that_is_evicted_before_it_ran_is_ended(state: AppState) -> None:
    assert ended(decide(look(EVICTED, {FIRST: state}))).keys() == {str(FIRST)}


def test_an_evicted_application_is_not_started() -> None:
    assert started(decide(look(EVICTED))) == {}


@pytest.mark.parametrize("lease", [LOST, None], ids=["waiting", "no workload"])
def test_an_application_whose_devices_may_be_somebody_else_s_is_ended_at_once(lease: Placement | None) -> None:
    both = [FIRST, SECOND]
    plan = decide(look((lease, lease), running(*both), both, routed=both, published_at=NOW))
    assert status_of(plan) == ("Placing", [])
    assert ended(plan) == dict.fromkeys(names(*both), "its devices are not its own any more")


def test_when_one_lease_moves_the_other_replica_serves_on_and_only_that_one_is_replaced() -> None:
    both = [FIRST, SECOND]
    plan = decide(look(MOVED, running(*both), both, routed=both))
    assert status_of(plan)[1] == names(FIRST)
    assert ended(plan).keys() == {str(SECOND)}
    assert started(plan).keys() == {str(ELSEWHERE)}
    assert started(plan)[str(ELSEWHERE)].args["node_id"] == "n2"
    again = decide(look(MOVED, running(FIRST, ELSEWHERE), [FIRST]))
    assert status_of(again) == ("Ready", names(FIRST, ELSEWHERE))


def test_an_application_that_a_dead_life_of_the_router_started_on_a_former_lease_does_not_count() -> None:
    """Its deployment was under way when the router died and the lease moved: it comes up on the old node."""
    plan = decide(look(MOVED, {SECOND: AppState.STARTING, FIRST: AppState.RUNNING}))
    assert ended(plan).keys() == {str(SECOND)}
    assert started(plan).keys() == {str(ELSEWHERE)}


def test_while_an_old_version_serves_its_own_eviction_takes_its_traffic() -> None:
    second = replace(look(EVICTED, running(FIRST, SECOND), [FIRST, SECOND]), versions=(Version("chat", 2, "m"),))
    assert status_of(decide(second)) == ("Placing", [])


def test_a_sick_replica_degrades_the_deployment_and_goes_on_taking_traffic() -> None:
    sick = decide(look(BOTH, {FIRST: AppState.RUNNING, SECOND: AppState.SICK}, [FIRST, SECOND]))
    assert status_of(sick) == ("Degraded", names(FIRST, SECOND))


def test_a_replica_that_fails_to_start_is_tried_again_while_the_other_serves() -> None:
    failed = decide(look(BOTH, {FIRST: AppState.RUNNING, SECOND: AppState.FAILED}, [FIRST, SECOND]))
    assert status_of(failed) == ("Degraded", names(FIRST))
    assert ended(failed) == {str(SECOND): "it failed and is tried again"}


def test_another_queue_changes_the_workload_in_place_and_another_size_makes_another() -> None:
    build = CHAT.build
    moved = replace(build, workload={**build.workload, "queue": "research", "priority_class": "urgent"})
    assert moved.settings == build.settings
    moving = replace(CHAT, build=moved)
    plan = decide(look(BOTH, running(FIRST, SECOND), [FIRST, SECOND], deployment=moving, asked=build.workload))
    changes = [record for record in plan.records if isinstance(record, PutSpec)]
    assert [(c.kind, c.name) for c in changes] == [("Workload", FIRST.workload), ("Workload", SECOND.workload)]
    assert {c.spec["spec"]["queue"] for c in changes} == {"research"}
    assert (started(plan), ended(plan)) == ({}, {})
    assert replace(build, workload={**build.workload, "latency_ms": 20.0}).settings != build.settings


def test_another_number_of_replicas_is_not_another_release() -> None:
    assert replace(CHAT, replicas=7).digest == CHAT.digest


def test_devices_go_back_only_when_the_application_is_gone() -> None:
    nobody = replace(look(BOTH[:1], {FIRST: AppState.ENDING}), deployments=())
    assert not any(isinstance(record, Remove) for record in decide(nobody).records)
    (gone,) = decide(replace(nobody, apps={})).records
    assert isinstance(gone, Remove)
    assert gone.name == FIRST.workload

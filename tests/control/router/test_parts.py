"""What the router makes of a lease: of several pieces, of parts of devices, wanted back, or moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from control.kernel.ids import AppName, app_workload
from control.kernel.placement import Placement
from control.kernel.plan import EndApp, EnsureApp, Plan, PutSpec, PutStatus, Remove
from control.kernel.present import AppState, AppView
from control.router.decide import DRAIN_SECONDS, decide
from control.router.part import parts_of
from control.router.state import Arm, Build, Deployment, Snapshot, Surroundings, Version
from control.specs.rollout import RolloutSpec
from control.specs.step import GrantPiece

GATEWAY = "http://here"
NOW = 100.0
CHAT = Deployment(
    name="chat",
    revision=1,
    generation=1,
    version=None,
    build=Build("chat", {"type": "inference", "devices": 3, "replicas": 3}, 0, {"max_model_len": 256}),
    rollout=RolloutSpec(strategy="instant"),
)
WORKLOAD = app_workload("chat", 1, CHAT.build.settings)


def gpu(node: str, *devices: str, milli: int = 1000) -> GrantPiece:
    return GrantPiece("GPU", node, devices, milli)


TWO_NODES = Placement("why", (gpu("n0", "a"), gpu("n1", "b"), gpu("n0", "c")))
MOVED = Placement("why", (gpu("n0", "a"), gpu("n2", "d"), gpu("n0", "c")))
EVICTED = replace(TWO_NODES, evicted="app.urgent needs its devices", deadline=NOW + 20)
LOST = Placement("n1 is gone")


def apps_of(placement: Placement) -> list[AppName]:
    return [AppName("chat", 1, CHAT.build.settings, part.lease) for part in parts_of(placement)]


ON_N0, ON_N1 = apps_of(TWO_NODES)
ON_N2 = apps_of(MOVED)[1]


def url(app: AppName) -> str:
    return GATEWAY + app.route_prefix


def arm(app: AppName, weight: float) -> Arm:
    return Arm(app.version, weight, url(app), str(app))


BOTH = (arm(ON_N0, 2 / 3), arm(ON_N1, 1 / 3))


def look(
    placement: Placement | None,
    apps: Mapping[AppName, AppState] | None = None,
    arms: Sequence[Arm] = (),
    routed: Sequence[AppName] = (),
    published_at: float = 0.0,
    now: float = NOW,
    deployment: Deployment = CHAT,
    asked: Mapping[str, Any] | None = None,
) -> Snapshot:
    """The deployment with version 1, its workload placed like that, and what it published last."""
    published = {"phase": "Ready", "arms": [asdict(one) for one in arms]}
    return Snapshot(
        now=now,
        deployments=(replace(deployment, status=published),),
        versions=(Version("chat", 1, "mlflow-artifacts:/1"),),
        asked={} if placement is None else {WORKLOAD: asked or deployment.build.workload},
        placements={} if placement is None else {WORKLOAD: placement},
        apps={str(app): AppView(state) for app, state in (apps or {}).items()},
        routed=frozenset(map(url, routed)),
        published_at=published_at,
        surroundings=Surroundings(GATEWAY, "http://mlflow", "/key", "/models", "/claims"),
    )


def status_of(plan: Plan) -> tuple[str, list[tuple[str, Any]]]:
    (record,) = [record for record in plan.records if isinstance(record, PutStatus)]
    return record.status["phase"], [(arm["app"], pytest.approx(arm["weight"])) for arm in record.status["arms"]]


def started(plan: Plan) -> dict[str, EnsureApp]:
    return {effect.app: effect for effect in plan.effects if isinstance(effect, EnsureApp)}


def ended(plan: Plan) -> dict[str, str]:
    return {effect.app: effect.reason for effect in plan.effects if isinstance(effect, EndApp)}


def running(*apps: AppName) -> dict[AppName, AppState]:
    return dict.fromkeys(apps, AppState.RUNNING)


def test_a_lease_over_two_nodes_is_an_application_on_each_with_the_replicas_of_that_node() -> None:
    found = started(decide(look(TWO_NODES)))
    assert found.keys() == {str(ON_N0), str(ON_N1)}
    first, second = (found[str(app)] for app in (ON_N0, ON_N1))
    assert (first.args["node_id"], first.args["replica_devices"]) == ("n0", [["a"], ["c"]])
    assert (second.args["node_id"], second.args["replica_devices"]) == ("n1", [["b"]])
    assert (first.args["workload"], first.args["claims_directory"]) == (WORKLOAD, "/claims")
    assert first.route_prefix != second.route_prefix
    assert ON_N0.workload == ON_N1.workload == WORKLOAD


def test_they_take_traffic_together_each_by_its_replicas() -> None:
    assert status_of(decide(look(TWO_NODES, running(ON_N0)))) == ("Starting", [])
    phase, arms = status_of(decide(look(TWO_NODES, running(ON_N0, ON_N1))))
    assert (phase, arms) == ("Ready", [(str(ON_N0), 2 / 3), (str(ON_N1), 1 / 3)])


def test_pieces_that_ray_counts_differently_are_no_replicas_of_one_application() -> None:
    mixed = Placement("why", (gpu("n0", "a"), gpu("n0", "MIG-1", milli=125), gpu("n0", "MIG-2", milli=125)))
    found = [effect.args for effect in started(decide(look(mixed))).values()]
    assert [(args["milli"], args["replica_devices"]) for args in found] == [
        (1000, [["a"]]),
        (125, [["MIG-1"], ["MIG-2"]]),
    ]


def test_replicas_may_share_a_device_and_are_told_how_much_of_its_memory_is_theirs() -> None:
    shared = replace(CHAT, build=replace(CHAT.build, share_memory=20 << 30))
    placement = Placement("why", (gpu("n0", "a", milli=250), gpu("n0", "a", milli=250)))
    (effect,) = started(decide(look(placement, deployment=shared))).values()
    args = effect.args
    assert (args["replica_devices"], args["milli"], args["share_memory"]) == ([["a"], ["a"]], 250, 20 << 30)


def test_an_evicted_application_takes_no_more_traffic_and_its_devices_stay_its_own() -> None:
    plan = decide(look(EVICTED, running(ON_N0, ON_N1), BOTH, routed=[ON_N0, ON_N1]))
    assert status_of(plan) == ("Placing", [])
    assert (started(plan), ended(plan)) == ({}, {})
    assert not any(isinstance(record, Remove) for record in plan.records)


def test_it_is_ended_once_no_replica_of_the_gateway_can_hold_a_table_that_routes_to_it() -> None:
    early = look(EVICTED, running(ON_N0, ON_N1), published_at=NOW - DRAIN_SECONDS + 1)
    assert ended(decide(early)) == {}
    found = ended(decide(replace(early, now=NOW + 1)))
    assert found == dict.fromkeys((str(ON_N0), str(ON_N1)), "evicted: app.urgent needs its devices")


@pytest.mark.parametrize(("now", "ends"), [(NOW + 19, False), (NOW + 20, True), (NOW + 99, True)])
def test_at_the_deadline_it_is_ended_although_a_table_still_routes_to_it(now: float, ends: bool) -> None:
    """The gateway's control actor is dead: nobody takes the application out of the table."""
    plan = decide(look(EVICTED, running(ON_N0, ON_N1), BOTH, routed=[ON_N0, ON_N1], now=now))
    assert bool(ended(plan)) is ends


@pytest.mark.parametrize("state", [AppState.STARTING, AppState.SICK, AppState.FAILED])
def test_an_application_that_is_evicted_before_it_ran_is_ended(state: AppState) -> None:
    assert ended(decide(look(EVICTED, {ON_N0: state}))).keys() == {str(ON_N0)}


def test_an_evicted_application_is_not_started() -> None:
    assert started(decide(look(EVICTED))) == {}


@pytest.mark.parametrize("placement", [LOST, None], ids=["waiting", "no workload"])
def test_an_application_whose_devices_may_be_somebody_else_s_is_ended_at_once(placement: Placement | None) -> None:
    plan = decide(look(placement, running(ON_N0, ON_N1), BOTH, routed=[ON_N0, ON_N1], published_at=NOW))
    assert status_of(plan) == ("Placing", [])
    assert ended(plan) == dict.fromkeys((str(ON_N0), str(ON_N1)), "its devices are not its own any more")


def test_when_part_of_a_lease_moves_the_rest_serves_on_and_only_that_part_is_replaced() -> None:
    plan = decide(look(MOVED, running(ON_N0, ON_N1), BOTH, routed=[ON_N0, ON_N1]))
    assert status_of(plan) == ("Starting", [(str(ON_N0), 1.0)])
    assert ended(plan).keys() == {str(ON_N1)}
    assert started(plan).keys() == {str(ON_N2)}
    assert started(plan)[str(ON_N2)].args["node_id"] == "n2"
    again = decide(look(MOVED, running(ON_N0, ON_N2), [arm(ON_N0, 1.0)]))
    assert status_of(again) == ("Ready", [(str(ON_N0), 2 / 3), (str(ON_N2), 1 / 3)])


def test_a_lease_in_another_order_is_the_same_lease() -> None:
    turned = Placement("other words", (gpu("n0", "c"), gpu("n0", "a"), gpu("n1", "b")))
    plan = decide(look(turned, running(ON_N0, ON_N1), BOTH, routed=[ON_N0, ON_N1]))
    assert (started(plan), ended(plan)) == ({}, {})


def test_an_application_that_a_dead_life_of_the_router_started_on_a_former_lease_does_not_count() -> None:
    """Its deployment was under way when the router died and the lease moved: it comes up on the old node."""
    plan = decide(look(MOVED, {ON_N1: AppState.STARTING, ON_N0: AppState.RUNNING}))
    assert ended(plan).keys() == {str(ON_N1)}
    assert started(plan).keys() == {str(ON_N2)}


def test_while_an_old_version_serves_its_own_eviction_takes_its_traffic() -> None:
    second = replace(look(EVICTED, running(ON_N0, ON_N1), BOTH), versions=(Version("chat", 2, "m"),))
    assert status_of(decide(second)) == ("Placing", [])


def test_one_sick_part_degrades_and_one_failed_part_fails_the_deployment_while_the_other_serves() -> None:
    sick = decide(look(TWO_NODES, {ON_N0: AppState.RUNNING, ON_N1: AppState.SICK}, BOTH))
    assert status_of(sick) == ("Degraded", [(str(ON_N0), 2 / 3), (str(ON_N1), 1 / 3)])
    failed = decide(look(TWO_NODES, {ON_N0: AppState.RUNNING, ON_N1: AppState.FAILED}, BOTH))
    assert status_of(failed) == ("Failed", [(str(ON_N0), 1.0)])


def test_another_queue_changes_the_workload_in_place_and_another_size_makes_another() -> None:
    build = CHAT.build
    moved = replace(build, workload={**build.workload, "queue": "research", "priority_class": "urgent"})
    assert moved.settings == build.settings
    moving = replace(CHAT, build=moved)
    plan = decide(look(TWO_NODES, running(ON_N0, ON_N1), BOTH, deployment=moving, asked=build.workload))
    (change,) = [record for record in plan.records if isinstance(record, PutSpec)]
    assert (change.kind, change.name, change.spec["spec"]["queue"]) == ("Workload", WORKLOAD, "research")
    assert (started(plan), ended(plan)) == ({}, {})
    assert replace(build, workload={**build.workload, "latency_ms": 20.0}).settings != build.settings


def test_devices_go_back_only_when_every_part_is_gone() -> None:
    nobody = replace(look(TWO_NODES, {ON_N1: AppState.ENDING}), deployments=())
    assert not any(isinstance(record, Remove) for record in decide(nobody).records)
    (gone,) = decide(replace(nobody, apps={})).records
    assert isinstance(gone, Remove)
    assert gone.name == WORKLOAD

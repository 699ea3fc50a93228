"""Which version takes traffic: nothing changes for callers until its successor serves."""

from __future__ import annotations

import itertools

import pytest

from control.kernel.ids import AppName
from control.kernel.plan import EndApp, EnsureApp
from control.kernel.present import AppState
from control.router.retire import DRAIN_SECONDS
from tests.control.router.world import deployment, phase, plane_with, serving, status, workloads
from tests.fakes.plane import POLICY, URGENT, Plane


def ready(plane: Plane) -> Plane:
    plane.settle()
    assert phase(plane)[0] == "Ready"
    return plane


def apps_of(plane: Plane, version: int) -> list[EnsureApp]:
    """What was asked for, in order, each application once."""
    found = {effect.app: effect for effect in plane.drive.acts if isinstance(effect, EnsureApp)}
    return [effect for app, effect in found.items() if app.startswith(f"llm:chat:{version}:")]


def app_of(plane: Plane, version: int) -> str:
    (found,) = apps_of(plane, version)
    return found.app


def starting(plane: Plane, version: int) -> str:
    """Go on until a version's application was asked for; its name."""
    plane.until(lambda: any(app.startswith(f"llm:chat:{version}:") for app in plane.drive.serve))
    plane.turn()
    return app_of(plane, version)


def drained(plane: Plane) -> None:
    """Go on until the table is published, its readers had their time, and the router looked again."""
    plane.turn()
    plane.turn()
    plane.clock.tick(DRAIN_SECONDS)
    plane.turn()


def test_latest_is_the_highest_version_there_is() -> None:
    assert serving(ready(plane_with(3, deployment()))) == [3]


def test_a_fixed_version_stays_when_a_newer_one_is_registered() -> None:
    plane = ready(plane_with(2, deployment(version=1)))
    plane.mlflow.register("chat", "another")
    plane.settle()
    assert serving(plane) == [1]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (deployment(), "any version of model chat is not registered"),
        (deployment(version=7), "version 7 of model chat is not registered"),
    ],
)
def test_a_deployment_waits_for_its_version_to_be_registered(document: str, reason: str) -> None:
    plane = plane_with(0, document)
    plane.settle()
    assert phase(plane) == ("Waiting", reason)
    assert workloads(plane) == []


def test_each_replica_asks_for_its_own_devices_and_those_that_get_them_serve() -> None:
    plane = plane_with(1, deployment(replicas=3, devices=3))
    plane.settle()
    waiting = [o for o in plane.store.list("Workload") if not o.status["lease"]]
    assert len(workloads(plane)) == 3
    assert [o.spec["spec"] for o in waiting] == [{"type": "inference", "devices": 3}]
    assert phase(plane) == ("Scaling", f"2 of 3 replicas serve: {waiting[0].status['reason']}")
    assert "3 are asked for" in waiting[0].status["reason"]


def test_the_applications_get_the_devices_of_their_leases() -> None:
    plane = ready(plane_with(1, deployment(replicas=2, devices=2)))
    first, second = (effect.args for effect in apps_of(plane, 1))
    assert (len({*first["devices"], *second["devices"]}), len(first["devices"])) == (4, 2)
    assert (first["node_id"], first["resource"]) == (plane.drive.alive_nodes[0].node_id, "sim-gpu")
    assert (first["milli"], first["share_memory"], first["engine"]) == (1000, 0, {"max_model_len": 256})
    assert [first["workload"], second["workload"]] == workloads(plane)
    assert (first["source"], first["path"]) == (plane.mlflow.registered[0].source, "/models/chat/1")


def test_replicas_come_and_go_without_another_release() -> None:
    plane = ready(plane_with(1, deployment(replicas=1)))
    (first,) = plane.models()
    plane.apply(deployment(replicas=3))
    plane.settle()
    assert (phase(plane)[0], len(plane.models())) == ("Ready", 3)
    plane.apply(deployment(replicas=1))
    plane.settle()
    assert (plane.models(), len(workloads(plane))) == ([first], 1)
    assert not [e for e in plane.store.events("Deployment", "chat") if e.event.startswith("Rollout")]


def test_it_is_starting_without_arms_until_the_application_runs() -> None:
    plane = plane_with(1, deployment())
    starting(plane, 1)
    assert (phase(plane)[0], serving(plane)) == ("Starting", [])


def test_the_old_version_serves_until_the_new_one_runs_and_only_then_is_ended() -> None:
    plane = ready(plane_with(1, deployment()))
    old = app_of(plane, 1)
    plane.mlflow.register("chat", "second")
    new = starting(plane, 2)
    for _ in range(3):
        plane.turn()
        assert (phase(plane)[0], serving(plane)) == ("Starting", [1])
        assert plane.drive.serve[old].state is AppState.RUNNING
    plane.drive.turn_app(new, AppState.RUNNING)
    plane.settle()
    assert (phase(plane), serving(plane)) == (("Ready", "version 2 serves"), [2])
    assert plane.models() == [new]


def test_the_devices_of_the_old_version_go_back_only_after_its_application_is_gone() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.mlflow.register("chat", "second")
    new = starting(plane, 2)
    plane.drive.turn_app(new, AppState.RUNNING)
    drained(plane)
    assert plane.drive.serve[app_of(plane, 1)].state is AppState.ENDING
    assert len(workloads(plane)) == 2
    plane.drive.remove_ended_apps()
    plane.turn()
    found = AppName.parse(new)
    assert found is not None
    assert workloads(plane) == [found.workload]


def test_an_application_that_is_going_is_not_ended_again() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.delete("Deployment", "chat")
    drained(plane)
    for _ in range(4):
        plane.turn()
    assert sum(isinstance(effect, EndApp) for effect in plane.drive.acts) == 1


def test_an_application_is_ended_only_when_the_published_table_does_not_route_to_it() -> None:
    """The gateway's control actor is late, or dead: its replicas go on with the table that they have."""
    plane = ready(plane_with(1, deployment()))
    old = app_of(plane, 1)
    plane.mlflow.register("chat", "second")
    plane.drive.turn_app(starting(plane, 2), AppState.RUNNING)
    for _ in range(3):
        plane.turn("router")
        plane.clock.tick(DRAIN_SECONDS)
        assert serving(plane) == [2]
        assert plane.drive.serve[old].state is AppState.RUNNING
    plane.turn("gateway")
    plane.clock.tick(DRAIN_SECONDS)
    plane.turn("router")
    assert plane.drive.serve[old].state is AppState.ENDING


def test_an_application_goes_on_while_replicas_may_still_hold_the_table_that_routes_to_it() -> None:
    plane = ready(plane_with(1, deployment()))
    old = app_of(plane, 1)
    plane.mlflow.register("chat", "second")
    plane.drive.turn_app(starting(plane, 2), AppState.RUNNING)
    generation = plane.only("Table").generation
    plane.until(lambda: plane.only("Table").generation > generation)
    published = plane.clock()
    while plane.clock() - published < DRAIN_SECONDS - 1:
        plane.turn()
        assert plane.drive.serve[old].state is AppState.RUNNING
    plane.turn()
    assert plane.drive.serve[old].state is AppState.ENDING


def test_other_settings_make_a_second_application_beside_the_first() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.apply(deployment(length=512))
    plane.until(lambda: len(plane.models()) == 2)
    assert serving(plane) == [1]
    plane.settle()
    (app,) = plane.models()
    assert plane.drive.asked[app].args["engine"] == {"max_model_len": 512}


def test_going_back_to_the_old_settings_before_the_new_application_runs_keeps_the_old_one() -> None:
    plane = ready(plane_with(1, deployment()))
    old = plane.models()
    plane.apply(deployment(length=512))
    plane.until(lambda: len(plane.models()) == 2)
    plane.apply(deployment())
    plane.settle()
    assert (plane.models(), phase(plane)[0]) == (old, "Ready")


def test_when_the_new_application_fails_the_old_version_goes_on_serving() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.mlflow.register("chat", "second")
    plane.drive.turn_app(starting(plane, 2), AppState.FAILED, "out of memory")
    plane.settle()
    assert phase(plane) == ("Failed", "out of memory")
    assert serving(plane) == [1]
    assert plane.drive.serve[app_of(plane, 1)].state is AppState.RUNNING


def test_a_sick_application_is_degraded_and_keeps_its_traffic() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.drive.turn_app(app_of(plane, 1), AppState.SICK, "1 of 2 replicas")
    plane.turn()
    assert (phase(plane), serving(plane)) == (("Degraded", "its process is being replaced"), [1])
    plane.drive.turn_app(app_of(plane, 1), AppState.RUNNING)
    plane.turn()
    assert phase(plane)[0] == "Ready"


def test_an_application_that_was_never_ready_gets_no_traffic_when_it_is_sick() -> None:
    plane = plane_with(1, deployment())
    plane.drive.turn_app(starting(plane, 1), AppState.SICK, "unwell")
    plane.turn()
    assert (phase(plane), serving(plane)) == (("Starting", "its process is being replaced"), [])


def test_a_deleted_deployment_ends_its_application_and_gives_its_devices_back() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.delete("Deployment", "chat")
    plane.settle()
    assert (plane.models(), workloads(plane)) == ([], [])
    assert plane.table()["models"] == {}


def test_after_ray_was_restarted_there_are_no_arms_until_the_application_runs_again() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.drive.restart_ray()
    plane.until(lambda: bool(plane.models()))
    plane.turn()
    assert (phase(plane)[0], serving(plane)) == ("Starting", [])
    plane.settle()
    assert (phase(plane)[0], serving(plane)) == ("Ready", [1])
    first, second = apps_of(plane, 1)
    assert first.args["node_id"] != second.args["node_id"] == plane.drive.alive_nodes[0].node_id
    assert plane.models() == [second.app]


def yielding(plane: Plane) -> Plane:
    """A ready deployment of the lowest class, and urgent work that needs its devices."""
    plane.apply(POLICY)
    plane.apply(deployment().replace("  devices:", "  priority_class: batch-scoring\n  devices:"))
    ready(plane)
    plane.apply(URGENT)
    return plane


def test_an_evicted_application_is_drained_ended_and_comes_back_when_there_are_devices() -> None:
    plane = yielding(plane_with(1))
    plane.until(lambda: serving(plane) == [])
    assert phase(plane)[0] == "Placing"
    assert plane.drive.serve[app_of(plane, 1)].state is AppState.RUNNING
    drained(plane)
    assert plane.drive.serve[app_of(plane, 1)].state is AppState.ENDING
    assert plane.store.list("Workload")[-1].status["lease"] is None, "the urgent work waits until it is gone"
    plane.settle()
    assert plane.models() == []
    assert [o.name for o in plane.store.list("Workload") if o.status["lease"]] == ["urgent"]
    plane.delete("Workload", "urgent")
    plane.settle()
    assert (phase(plane), serving(plane)) == (("Ready", "version 1 serves"), [1])


def test_with_a_dead_gateway_control_actor_an_evicted_application_is_ended_at_the_deadline() -> None:
    plane = yielding(plane_with(1))
    plane.turn("scheduler", "router")
    (held,) = [o for o in plane.store.list("Workload") if o.status.get("eviction")]
    while plane.clock.now < held.status["eviction"]["deadline"] - 1:
        plane.turn("scheduler", "router")
        assert plane.drive.serve[app_of(plane, 1)].state is AppState.RUNNING
    plane.turn("router")
    assert plane.drive.serve[app_of(plane, 1)].state is AppState.ENDING


def test_the_status_says_of_which_generation_it_speaks() -> None:
    plane = ready(plane_with(1, deployment()))
    plane.apply(deployment(length=512))
    plane.settle()
    assert status(plane)["generation"] == plane.only("Deployment").generation == 2


def test_every_change_of_phase_is_one_event() -> None:
    plane = ready(plane_with(1, deployment()))
    events = [e.event for e in plane.store.events("Deployment", "chat") if e.who == "router"]
    assert [event for event, _ in itertools.groupby(events)] == events
    assert events[-2:] == ["Starting", "Ready"]

"""What never happens with traffic, whatever applications, versions and people do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control.kernel.plan import Effect, EndApp
from control.kernel.present import AppState
from tests.control.router.world import DOMAINS, deployment, plane_with
from tests.fakes.plane import POLICY, URGENT, Plane

ALIVE = (AppState.RUNNING, AppState.SICK)
Happening = Callable[[Plane], None]


def register(plane: Plane) -> None:
    plane.mlflow.register("chat", str(len(plane.mlflow.registered)))


def delete(plane: Plane) -> None:
    if plane.store.get("Deployment", "chat"):
        plane.delete("Deployment", "chat")


def move_apps(state: AppState, only: tuple[AppState, ...]) -> Happening:
    def happen(plane: Plane) -> None:
        for app in plane.models():
            if plane.drive.serve[app].state in only:
                plane.drive.turn_app(app, state, "so it is")

    return happen


def leave(plane: Plane) -> None:
    if plane.store.get("Workload", "urgent"):
        plane.delete("Workload", "urgent")


YIELDING = deployment().replace("  devices:", "  priority_class: batch-scoring\n  devices:")

happenings = st.sampled_from(
    [
        register,
        delete,
        lambda plane: plane.apply(deployment()),
        lambda plane: plane.apply(deployment(length=512)),
        lambda plane: plane.apply(deployment(version=1)),
        lambda plane: plane.apply(YIELDING),
        lambda plane: plane.apply(URGENT),
        leave,
        move_apps(AppState.RUNNING, (AppState.STARTING, AppState.SICK)),
        move_apps(AppState.RUNNING, (AppState.STARTING, AppState.SICK)),
        move_apps(AppState.SICK, (AppState.RUNNING,)),
        move_apps(AppState.FAILED, (AppState.STARTING,)),
        lambda plane: plane.drive.remove_ended_apps(),
        lambda plane: plane.drive.restart_ray(),
        lambda plane: plane.restart(),
    ]
)


def leases(plane: Plane) -> dict[str, dict[str, Any]]:
    """What the workloads that are stored hold."""
    return {o.name: o.status["lease"] for o in plane.store.list("Workload") if o.status.get("lease")}


def on_time(plane: Plane, app: str) -> bool:
    """Whether an application may still wait for requests: it has its devices, and nobody is owed them by now."""
    found = plane.store.get("Workload", plane.drive.asked[app].args["workload"])
    if found is None or not found.status.get("lease"):
        return False
    eviction = found.status.get("eviction")
    return eviction is None or plane.clock() < eviction["deadline"]


def assert_no_application_is_on_devices_of_others(plane: Plane) -> None:
    for app in plane.models():
        args = plane.drive.asked[app].args
        mine = set(args["devices"])
        for name, lease in leases(plane).items():
            given = {uuid for piece in lease["pieces"] for uuid in piece["devices"]}
            assert name == args["workload"] or not mine & given, f"{app} is on devices of {name}"


def routed(plane: Plane) -> list[str]:
    """The URLs that the published table names."""
    tables = plane.store.list("Table")
    arms = (arm for table in tables for model in table.spec["models"].values() for arm in model["arms"])
    return [replica["url"] for arm in arms for replica in arm["replicas"]]


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from(DOMAINS), max_size=5), happenings), max_size=10))
def test_an_arm_always_names_an_application_that_was_seen_running(
    story: list[tuple[list[str], Happening]],
) -> None:
    """Domains take turns in any order between happenings; whatever the router publishes was true when it looked.

    And no application is ended to which the table that the gateway's replicas hold still routes, unless its devices
    were wanted back and the time for that is over; and none is on devices that were given to somebody else.
    """
    plane = plane_with(1, POLICY, deployment())
    cut_off: list[str] = []

    def watch(effect: Effect) -> None:
        if isinstance(effect, EndApp) and (asked := plane.drive.asked.get(effect.app)) and on_time(plane, effect.app):
            cut_off.extend(url for url in routed(plane) if url.endswith(asked.route_prefix))

    plane.drive.before_act = watch
    ran: set[str] = set()
    for turns, happen in story:
        happen(plane)
        for name in (*turns, "router"):
            ran |= {app for app, view in plane.drive.serve.items() if view.state is AppState.RUNNING}
            alive = {app for app, view in plane.drive.serve.items() if view.state in ALIVE}
            plane.turn(name)
            assert_no_application_is_on_devices_of_others(plane)
            if name == "router":
                arms = [arm for o in plane.store.list("Deployment") for arm in o.status.get("arms", ())]
                assert {replica["app"] for arm in arms for replica in arm["replicas"]} <= ran & alive
                assert sum(arm["weight"] for arm in arms) in (0, 1)
    leave(plane)
    plane.settle()
    holders = {o.name for o in plane.store.list("Workload")}
    assert len(holders) == len(plane.models()), "devices without an application, or one without devices"
    assert cut_off == []

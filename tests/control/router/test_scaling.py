"""How many replicas there are: as the load says, down to none, and back when somebody asks."""

from __future__ import annotations

import pytest

from control import engine_report
from control.engine_report import EngineReport
from control.kernel.ids import WAKE_PREFIX
from control.kernel.present import AppState
from control.router.recent import WINDOW_SECONDS, Recent
from control.traffic import BEAT_PREFIX, Traffic, document
from tests.control.router.world import deployment, phase, plane_with, serving, status, workloads
from tests.fakes.plane import Plane

SLEEPING = "  autoscaling: {min: 0, max: 3, idle: 30, wake: 60}\n"
BUSY = "  autoscaling: {min: 1, max: 3, queue: 4, down_after: 60}\n"


def autoscaled(scaling: str) -> str:
    return deployment().replace("  replicas: 1\n", "") + scaling


def report(plane: Plane, waiting: int = 0, running: int = 0) -> None:
    """What every replica that runs says of itself."""
    for app in plane.models():
        if plane.drive.serve[app].state is AppState.RUNNING:
            told = EngineReport(f"http://{app}", 1, waiting=waiting, running=running, most_running=8)
            plane.store.beat(f"{engine_report.BEAT_PREFIX}{app}", engine_report.document(told), now=plane.clock())


def go_on(plane: Plane, seconds: int, waiting: int = 0, running: int = 0) -> None:
    for _ in range(seconds):
        report(plane, waiting, running)
        plane.turn()
        plane.work()


def asleep() -> Plane:
    plane = plane_with(1, autoscaled(SLEEPING))
    plane.settle()
    assert serving(plane) == [1], "at first it shows that it can serve"
    go_on(plane, 45)
    assert phase(plane) == ("Asleep", "no request comes; the next one wakes it")
    return plane


def test_a_model_that_nobody_uses_gives_its_devices_back_and_stays_in_the_table() -> None:
    plane = asleep()
    assert (plane.models(), workloads(plane)) == ([], [])
    (model,) = plane.table()["models"].values()
    assert (model["arms"], model["wakes_s"]) == ([], 60)
    assert "Scaled" in [event.event for event in plane.store.events("Deployment", "chat")]


def test_whoever_waits_for_it_wakes_it() -> None:
    plane = asleep()
    go_on(plane, 5)
    assert workloads(plane) == []
    plane.store.beat(f"{WAKE_PREFIX}chat", {}, now=plane.clock())
    go_on(plane, 4)
    assert (phase(plane)[0], serving(plane)) == ("Ready", [1])


def test_a_new_version_of_a_sleeping_model_shows_that_it_can_serve_and_sleeps_on() -> None:
    plane = asleep()
    plane.mlflow.register("chat", "second")
    plane.until(lambda: bool(plane.models()))
    (app,) = plane.models()
    assert plane.drive.asked[app].args["version"] == "2"
    go_on(plane, 15)
    assert (phase(plane)[0], plane.models()) == ("Asleep", [])
    plane.store.beat(f"{WAKE_PREFIX}chat", {}, now=plane.clock())
    go_on(plane, 4)
    assert serving(plane) == [2]


def test_requests_that_wait_bring_replicas_up_to_the_most_and_not_beyond() -> None:
    plane = plane_with(1, autoscaled(BUSY))
    plane.settle()
    go_on(plane, 120, waiting=20, running=8)
    assert (len(plane.models()), len(workloads(plane))) == (3, 3)
    assert str(status(plane)["scale"]["reason"]).startswith("2 → 3: ")  # type: ignore[index]


def test_when_the_load_is_gone_they_go_one_by_one_and_the_first_stays() -> None:
    plane = plane_with(1, autoscaled(BUSY))
    plane.settle()
    first = plane.models()
    go_on(plane, 120, waiting=20, running=8)
    go_on(plane, 300)
    assert plane.models() == first


def test_spares_of_the_sla_are_replicas_beyond_those_that_are_asked_for() -> None:
    plane = plane_with(1, deployment(replicas=2) + "  sla: {spares: 1}\n")
    plane.settle()
    assert len(plane.models()) == 3


def test_without_reports_nothing_is_scaled() -> None:
    plane = plane_with(1, autoscaled(BUSY))
    plane.settle()
    go_on(plane, 30, waiting=20)
    many = len(workloads(plane))
    assert many > 1
    for _ in range(120):
        plane.turn()
    assert len(workloads(plane)) == many


def test_what_is_stored_does_not_change_while_nothing_happens() -> None:
    plane = plane_with(1, autoscaled(BUSY))
    plane.settle()
    go_on(plane, 10, running=1)
    revision = plane.store.revision()
    go_on(plane, 20, running=1)
    assert plane.store.revision() == revision


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (20, 20), (200, 30)])
def test_what_ended_lately_is_what_came_in_the_window(seconds: int, expected: int) -> None:
    recent = Recent()
    for second in range(seconds + 1):
        found = recent.look({"app": {"g1": Traffic(100 + second)}}, float(second))
    assert found["app"].requests == expected
    assert WINDOW_SECONDS == 30.0


def test_a_gateway_replica_that_began_in_the_window_counts_from_its_beginning() -> None:
    recent = Recent()
    recent.look({"app": {"g1": Traffic(100)}}, 0.0)
    found = recent.look({"app": {"g1": Traffic(101), "g2": Traffic(7)}}, 5.0)
    assert found["app"].requests == 8


def test_traffic_counts_as_use() -> None:
    plane = plane_with(1, autoscaled(SLEEPING))
    plane.settle()
    (app,) = plane.models()
    for second in range(90):
        plane.store.beat(f"{BEAT_PREFIX}g1", document({app: Traffic(second // 10)}), now=plane.clock())
        go_on(plane, 1)
    assert serving(plane) == [1]

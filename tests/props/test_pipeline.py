"""A control plane that dies anywhere, and a world that takes steps away, still come to the same end.

The story: the process that holds all five control actors is killed, again and again, between any two of its commits
and acts, and right after any of them. Each time new actors start that remember nothing. Meanwhile steps are killed and
Ray is restarted. In the end there is one version, one deployment, one application, and nothing left over.
"""

from __future__ import annotations

from collections.abc import Set

from hypothesis import example, given, settings
from hypothesis import strategies as st

from control.kernel.ids import STEP_WORKLOAD_PREFIX
from tests.fakes.fuse import Crash, Fuse
from tests.fakes.plane import WORKFLOW, Plane

briefly = settings(max_examples=7, deadline=None)


def turn_or_die(plane: Plane) -> bool:
    """One pass of each domain; True when they died in it and were started again."""
    try:
        plane.turn()
    except Crash:
        plane.restart()
        return True
    return False


def live(plane: Plane, lost: Set[int] = frozenset(), restarts: Set[int] = frozenset(), turns: int = 120) -> None:
    """Go on through all crashes; at the turns in `lost` every step actor is killed, at `restarts` Ray is."""
    quiet = 0
    for number in range(turns):
        before = (plane.store.revision(), len(plane.drive.acts))
        died = turn_or_die(plane)
        if number in lost:
            for actor in list(plane.drive.alive):
                plane.drive.kill(actor)
        if number in restarts:
            plane.drive.restart_ray()
        plane.work()
        quiet = 0 if died or before != (plane.store.revision(), len(plane.drive.acts)) else quiet + 1
        if quiet > 2 and number > max({*lost, *restarts, 0}):
            return
    raise AssertionError("it never came to rest")


def assert_ended_well(plane: Plane) -> None:
    assert plane.run().status["phase"] == "Succeeded", plane.run().status["reason"]
    assert len(plane.mlflow.registered) == 1
    assert len(plane.store.list("ModelVersion")) == 1
    assert plane.only("Deployment").status["phase"] == "Ready"
    assert plane.only("Deployment").generation == 1
    (app,) = plane.models()
    assert [o.name for o in plane.store.list("Workload") if o.name.startswith(STEP_WORKLOAD_PREFIX)] == []
    assert len(plane.store.list("Workload")) == 1
    assert plane.drive.alive == {}
    (arm,) = plane.table()["models"]["tune"]["arms"]
    assert arm["url"].endswith(plane.drive.asked[app].route_prefix)


@briefly
@given(st.lists(st.integers(0, 60), max_size=8))
@example([2] * 30)
@example([1] * 40)
def test_killed_at_any_points_the_control_plane_ends_with_one_version_and_nothing_left_over(lengths: list[int]) -> None:
    plane = Plane(fuse=Fuse(lengths))
    plane.apply(WORKFLOW)
    live(plane)
    assert_ended_well(plane)


@briefly
@given(
    st.lists(st.integers(0, 40), max_size=4),
    st.sets(st.integers(0, 14), max_size=3),
    st.sets(st.integers(0, 20), max_size=2),
)
def test_so_it_does_when_steps_are_lost_and_ray_is_restarted_on_the_way(
    lengths: list[int], lost: set[int], restarts: set[int]
) -> None:
    plane = Plane(fuse=Fuse(lengths))
    plane.apply(WORKFLOW)
    live(plane, lost, restarts)
    assert_ended_well(plane)


@briefly
@given(st.lists(st.integers(0, 40), max_size=4), st.integers(0, 25))
def test_a_workflow_deleted_at_any_moment_leaves_no_actor_no_device_and_no_run(lengths: list[int], when: int) -> None:
    plane = Plane(fuse=Fuse(lengths))
    plane.apply(WORKFLOW)
    for _ in range(when):
        turn_or_die(plane)
        plane.work()
    plane.delete("Workflow", "tune")
    live(plane)
    assert plane.store.list("Run") == ()
    assert plane.drive.alive == {}
    assert [o.name for o in plane.store.list("Workload") if o.name.startswith(STEP_WORKLOAD_PREFIX)] == []

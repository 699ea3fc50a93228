"""A control plane that dies anywhere, and a world that takes steps away, still come to the same end.

The story: the process that holds all five control actors is killed, again and again, between any two of its commits
and acts, and right after any of them. Each time new actors start that remember nothing. Meanwhile steps are killed,
Ray is restarted, and urgent work has others evicted. In the end there is one version, one deployment, one application,
and nothing left over; and at no time does a step live on devices that were given to somebody else.
"""

from __future__ import annotations

from collections.abc import Set

from hypothesis import example, given, settings
from hypothesis import strategies as st

from control.kernel.ids import STEP_WORKLOAD_PREFIX
from tests.fakes.fuse import Crash, Fuse
from tests.fakes.plane import POLICY, URGENT, WORKFLOW, Plane

briefly = settings(max_examples=7, deadline=None)


def turn_or_die(plane: Plane, *domains: str) -> bool:
    """One pass of each domain, or of those named; True when they died in it and were started again."""
    try:
        plane.turn(*domains)
    except Crash:
        plane.restart()
        return True
    return False


def live(plane: Plane, lost: Set[int] = frozenset(), restarts: Set[int] = frozenset(), turns: int = 120) -> None:
    """Go on through all crashes; at the turns in `lost` every step actor is killed, at `restarts` Ray is."""
    quiet = 0
    for number in range(turns):
        before = (plane.store.revision(), plane.deeds)
        died = turn_or_die(plane)
        if number in lost:
            for actor in list(plane.drive.alive):
                plane.drive.kill(actor)
        if number in restarts:
            plane.drive.restart_ray()
        plane.work()
        quiet = 0 if died or before != (plane.store.revision(), plane.deeds) else quiet + 1
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
    assert arm["replicas"][0]["url"].endswith(plane.drive.asked[app].route_prefix)


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


def devices_of(plane: Plane) -> dict[str, set[str]]:
    """What each workload that is stored holds."""
    leases = {o.name: o.status.get("lease") or {"pieces": []} for o in plane.store.list("Workload")}
    return {name: {uuid for piece in lease["pieces"] for uuid in piece["devices"]} for name, lease in leases.items()}


def assert_no_device_has_two_users(plane: Plane) -> None:
    held = devices_of(plane)
    for actor, step in plane.drive.alive.items():
        if step.request.task == "training":
            mine = set(step.request.grant.devices if step.request.grant else ())
            assert mine == held[step.request.workload] != set(), f"{actor} lives on {mine}"
    assert sum(map(len, held.values())) == len(set().union(*held.values()))


@settings(max_examples=3, deadline=None)
@given(
    st.lists(st.integers(0, 40), max_size=4),
    st.sets(st.integers(0, 24), max_size=3),
    st.sets(st.integers(0, 25), max_size=2),
    st.sets(st.integers(0, 25), max_size=8),
    st.integers(1, 6),
    st.booleans(),
)
@example([], {7, 16}, set(), set(), 6, True)
@example([3, 5, 8, 2], {6}, {9}, set(), 3, False)
@example([], {9}, {9}, set(range(9, 13)), 6, False)
def test_so_it_does_when_urgent_work_has_its_steps_evicted_at_any_moment(
    lengths: list[int], arrivals: set[int], lost: set[int], asleep: set[int], slow: int, deaf: bool
) -> None:
    """Steps take a while (`slow`), so that the eviction finds them running; the `deaf` do not notice that it does.

    At the turns in `lost` their processes die, and at those in `asleep` the pipeline's actor is away.
    """
    plane = Plane(fuse=Fuse(lengths))
    plane.apply(POLICY)
    plane.apply(WORKFLOW)
    for number in range(30):
        if number in arrivals:
            plane.apply(URGENT)
        if number - 5 in arrivals and plane.store.get("Workload", "urgent"):
            plane.delete("Workload", "urgent")
        if number in lost:
            plane.drive.alive.clear()
        turn_or_die(plane, *(name for name in plane.loops if name != "pipeline" or number not in asleep))
        assert_no_device_has_two_users(plane)
        if deaf:
            plane.drive.told_to_stop.clear()
        if number % slow == 0:
            plane.work()
    live(plane)
    assert_ended_well(plane)

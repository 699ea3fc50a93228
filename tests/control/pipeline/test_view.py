"""What the pipeline runner sees of the store and of Ray."""

from __future__ import annotations

from control.kernel.present import StepState
from control.pipeline.state import RunPhase, Snapshot, TaskState
from tests.control.router.world import deployment
from tests.fakes.plane import WORKFLOW, Plane

CLEAN = """\
apiVersion: biplane/v1
kind: StepTemplate
metadata: {name: preprocess}
spec:
  entrypoint: my_steps:clean
  parameters: [{name: depth, default: "2"}]
  outputs: [dataset-dir]
"""


def look(plane: Plane) -> Snapshot:
    snapshot = plane.loops["pipeline"].domain.observe(plane.store, plane.clock())
    assert isinstance(snapshot, Snapshot)
    return snapshot


def test_a_run_is_read_back_with_its_graph_and_what_its_tasks_came_to() -> None:
    plane = Plane()
    plane.apply(WORKFLOW)
    plane.settle()
    (run,) = look(plane).runs
    assert (run.name, run.phase, run.workflow, run.generation) == ("tune-1", RunPhase.SUCCEEDED, "tune", 1)
    assert {status.state for status in run.tasks.values()} == {TaskState.SUCCEEDED}
    assert run.graph is not None
    assert [task.name for task in run.graph.tasks] == ["data", "training", "evaluation", "deployment"]
    assert run.status == plane.run().status


def test_only_the_present_attempt_of_a_running_task_is_looked_at() -> None:
    plane = Plane()
    plane.apply(WORKFLOW)
    first, second = str(plane.step("data", 1)), str(plane.step("data", 2))
    plane.until(lambda: first in plane.drive.alive)
    plane.drive.kill(first)
    plane.until(lambda: second in plane.drive.alive)
    assert {actor: step.state for actor, step in look(plane).steps.items()} == {second: StepState.RUNNING}


def test_a_deployment_s_status_counts_only_for_the_generation_of_which_it_speaks() -> None:
    plane = Plane()
    plane.apply(WORKFLOW)
    plane.settle()
    assert look(plane).deployments["tune"].versions == {1}
    plane.apply(deployment(version=1, length=512).replace("chat", "tune"))
    assert look(plane).deployments["tune"].versions == frozenset()
    assert look(plane).deployments["tune"].reason == "the router has not looked at it yet"


def test_the_version_that_a_deployment_wants_is_seen_before_the_router_looked_at_it() -> None:
    plane = Plane()
    plane.apply(deployment(version=3))
    assert look(plane).deployments["chat"].wanted == 3
    plane.apply(deployment())
    assert look(plane).deployments["chat"].wanted is None


def test_a_step_template_takes_the_place_of_the_built_in_one() -> None:
    plane = Plane()
    plane.apply(CLEAN)
    plane.apply(WORKFLOW)
    plane.until(lambda: bool(plane.drive.alive))
    (step,) = plane.drive.alive.values()
    assert (step.entrypoint, step.request.parameters) == ("my_steps:clean", {"depth": "2"})


def test_a_run_whose_step_template_was_deleted_fails_with_what_is_missing() -> None:
    plane = Plane()
    plane.apply(CLEAN.replace("preprocess", "clean"))
    plane.apply(WORKFLOW.replace("template: preprocess", "template: clean"))
    plane.until(lambda: bool(plane.drive.alive))
    plane.delete("StepTemplate", "clean")
    for _ in range(3):
        plane.turn()
    assert plane.run().status["phase"] == "Failed"
    assert "unknown template 'clean'" in plane.run().status["reason"]
    assert plane.drive.alive == {}

"""Whole runs: the five domains together over a real store, with a world of fakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.kernel.ids import APP_WORKLOAD_PREFIX, STEP_WORKLOAD_PREFIX
from control.kernel.plan import EndStep, EnsureStep
from control.kernel.present import AppState
from control.pipeline.progress import MAX_ATTEMPTS
from tests.control.router.world import deployment
from tests.fakes.plane import GATEWAY, POLICY, URGENT, WORKFLOW, Plane


@pytest.fixture
def plane() -> Plane:
    return Plane()


def started(plane: Plane, task: str) -> list[EnsureStep]:
    """The attempts at a task, in order, each once."""
    found = {a.actor: a for a in plane.drive.acts if isinstance(a, EnsureStep) and a.request.task == task}
    return list(found.values())


def running(plane: Plane, task: str, attempt: int = 1) -> str:
    """Go on until an attempt at a task runs; its actor."""
    actor = str(plane.step(task, attempt))
    for _ in range(30):
        if actor in plane.drive.alive:
            return actor
        plane.work()
        plane.turn()
    raise AssertionError(f"{actor} never ran: {plane.run().status}")


def deploying_as(name: str, value: str, text: str = WORKFLOW) -> str:
    """The workflow with one argument of its deployment given."""
    arguments = f"            arguments: {{parameters: [{{name: {name}, value: '{value}'}}]}}\n"
    return text.replace('            when: "', f'{arguments}            when: "')


def preempted(plane: Plane, task: str, attempt: int = 1) -> str:
    """Go on until a task runs and an urgent workload has had it evicted; its actor."""
    plane.apply(POLICY)
    plane.apply(WORKFLOW)
    actor = running(plane, task, attempt)
    plane.apply(URGENT)
    plane.until(lambda: plane.task(task)["state"] == "Evicting")
    return actor


def holds_devices(plane: Plane, workload: str) -> bool:
    found = plane.store.get("Workload", workload)
    return found is not None and found.status.get("lease") is not None


def leftovers(plane: Plane) -> tuple[list[str], list[str]]:
    """Step actors that live, and workloads of steps that are still stored."""
    workloads = [o.name for o in plane.store.list("Workload") if o.name.startswith(STEP_WORKLOAD_PREFIX)]
    return sorted(plane.drive.alive), workloads


def test_a_workflow_goes_from_data_to_a_served_model_and_a_published_route(tmp_path: Path) -> None:
    plane = Plane.at(tmp_path)
    plane.apply(WORKFLOW)
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"
    assert {name: task["state"] for name, task in plane.run().status["tasks"].items()} == dict.fromkeys(
        ("data", "training", "evaluation", "deployment"), "Succeeded"
    )
    (version,) = plane.mlflow.registered
    assert plane.only("ModelVersion").status["phase"] == "production"
    assert plane.mlflow.aliases("production") == {"tune": version.version}
    deployment = plane.only("Deployment")
    assert (deployment.status["phase"], deployment.spec["spec"]["version"]) == ("Ready", 1)
    (app,) = plane.models()
    url = GATEWAY + plane.drive.asked[app].route_prefix
    (arm,) = plane.table()["models"]["tune"]["arms"]
    assert (arm["version"], arm["weight"], arm["replicas"][0]["url"]) == ("1", 1.0, url)
    assert leftovers(plane) == ([], [])
    assert [o.name.startswith(APP_WORKLOAD_PREFIX) for o in plane.store.list("Workload")] == [True]


def test_a_step_gets_its_lease_its_parameters_and_what_earlier_steps_gave(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "training")
    (effect,) = started(plane, "training")
    assert effect.gang
    assert effect.request.grant is not None
    assert effect.request.grant.devices == ("SIM-sim-0-0", "SIM-sim-0-1")
    assert effect.request.grant.simulated
    assert effect.request.parameters["dataset-dir"] == "/data"
    assert effect.request.directory == f"/runs/{effect.request.key}"
    uid = plane.only("Workflow").uid
    assert effect.request.key == f"{uid[:12]}-1/training"


def test_steps_run_one_after_another_as_they_depend_on_each_other(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    first: dict[str, None] = {}
    for effect in plane.drive.acts:
        if isinstance(effect, EnsureStep):
            first.setdefault(effect.request.task)
    assert list(first) == ["data", "training", "evaluation", "deployment"]


def test_a_task_waits_for_devices_with_the_schedulers_reason(plane: Plane) -> None:
    plane.apply("apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: hog}\nspec: {type: inference, devices: 7}\n")
    plane.settle()
    plane.apply(WORKFLOW)
    plane.settle()
    task = plane.task("training")
    assert (task["state"], task["reason"]) == ("Placing", "sim-0 has 1 of its 8 H100-80GB free, 2 are asked for")
    plane.delete("Workload", "hog")
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"


def test_when_the_gate_is_false_the_deployment_is_skipped_with_the_reason(plane: Plane) -> None:
    plane.accuracy = "0.41"
    plane.apply(WORKFLOW)
    plane.settle()
    task = plane.task("deployment")
    assert task["state"] == "Skipped"
    assert "0.41" in task["reason"]
    assert "0.9" in task["reason"]
    assert plane.run().status["phase"] == "Succeeded"
    assert task["reason"] in plane.run().status["reason"]
    assert (plane.mlflow.registered, plane.store.list("Deployment")) == ([], ())


def test_when_a_steps_process_is_killed_the_next_attempt_goes_on_in_the_same_directory(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.drive.kill(running(plane, "training"))
    plane.until(lambda: str(plane.step("training", 2)) in plane.drive.alive)
    first, second = started(plane, "training")
    assert first.request == second.request
    assert "attempt 1 is gone" in plane.task("training")["reason"]
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"
    assert plane.task("training")["attempt"] == 2


def test_a_step_that_was_never_begun_is_started_again_as_the_same_attempt(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    actor = running(plane, "training")
    plane.drive.kill(actor)
    plane.drive.begun.clear()
    plane.until(lambda: actor in plane.drive.alive)
    assert plane.task("training")["attempt"] == 1


def test_a_step_whose_process_is_lost_five_times_has_failed(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        plane.drive.kill(running(plane, "training", attempt))
        plane.turn()
    plane.settle()
    assert plane.task("training")["reason"] == "its process was lost 5 times"
    assert plane.run().status["phase"] == "Failed"
    assert len(started(plane, "training")) == MAX_ATTEMPTS
    assert leftovers(plane) == ([], [])


def test_when_a_step_fails_the_run_fails_with_its_error_and_what_depends_on_it_is_skipped(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.drive.fail(running(plane, "training"), "ValueError: no rows")
    plane.turn()
    plane.settle()
    states = {name: task["state"] for name, task in plane.run().status["tasks"].items()}
    assert states == {"data": "Succeeded", "training": "Failed", "evaluation": "Skipped", "deployment": "Skipped"}
    assert plane.task("evaluation")["reason"] == "training failed"
    assert (plane.run().status["phase"], plane.run().status["reason"]) == ("Failed", "training: ValueError: no rows")
    assert len(started(plane, "training")) == 1
    assert leftovers(plane) == ([], [])


def test_when_the_deployment_fails_the_run_fails_with_the_reason(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "deployment")
    plane.work()
    plane.until(lambda: bool(plane.models()))
    plane.drive.turn_app(plane.models()[0], AppState.FAILED, "the engine does not start")
    plane.turn()
    plane.turn()
    assert plane.run().status["phase"] == "Failed"
    assert plane.task("deployment")["reason"] == "the engine does not start"


def test_when_the_deployment_is_deleted_while_it_comes_up_the_run_fails(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "deployment")
    plane.work()
    plane.until(lambda: plane.task("deployment")["state"] == "Deploying")
    plane.delete("Deployment", "tune")
    plane.settle()
    assert plane.task("deployment")["reason"] == "deployment tune was deleted"
    assert (plane.run().status["phase"], plane.models()) == ("Failed", [])


def test_when_the_workflow_is_deleted_its_run_goes_and_its_actors_and_devices_with_it(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    actor = running(plane, "training")
    plane.delete("Workflow", "tune")
    plane.settle()
    assert plane.store.list("Run") == ()
    assert leftovers(plane) == ([], [])
    assert [a.actor for a in plane.drive.acts if isinstance(a, EndStep)].count(actor) >= 1


def test_devices_go_back_only_after_the_actor_that_used_them_is_gone(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "training")
    step = plane.step("training")
    plane.delete("Workflow", "tune")

    def refuse(effect: object) -> None:
        if isinstance(effect, EndStep):
            raise OSError("Ray does not answer")

    plane.drive.before_act = refuse
    for _ in range(4):
        plane.turn()
    assert leftovers(plane) == ([str(step)], [step.workload])
    plane.drive.before_act = lambda effect: None
    plane.settle()
    assert leftovers(plane) == ([], [])


def test_a_newer_generation_cancels_the_run_and_starts_its_own(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "training")
    plane.apply(WORKFLOW.replace(">= 0.9", ">= 0.8"))
    plane.settle()
    assert plane.run("tune-1").status["phase"] == "Cancelled"
    assert plane.task("training")["state"] == "Cancelled"
    assert plane.run("tune-2").status["phase"] == "Succeeded"
    assert leftovers(plane) == ([], [])


def test_applying_the_same_workflow_again_starts_nothing(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    before = plane.deeds
    plane.apply(WORKFLOW)
    plane.settle()
    assert len(plane.store.list("Run")) == 1
    assert plane.deeds == before


def test_a_workflow_deleted_and_applied_anew_runs_in_directories_of_its_own(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    plane.delete("Workflow", "tune")
    plane.apply(WORKFLOW)
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"
    assert len({effect.request.directory for effect in plane.drive.acts if isinstance(effect, EnsureStep)}) == 8
    assert len(plane.mlflow.registered) == 2


def test_after_ray_was_restarted_the_run_goes_on_with_the_next_attempt(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    running(plane, "training")
    plane.drive.restart_ray()
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"
    second = started(plane, "training")[1]
    assert second.request.grant is not None
    assert second.request.grant.node_ids == (plane.drive.alive_nodes[0].node_id,)


def test_a_training_that_is_preempted_saves_stops_waits_and_goes_on_in_the_same_directory(plane: Plane) -> None:
    actor = preempted(plane, "training")
    directory = plane.drive.alive[actor].request.directory
    assert plane.task("training")["reason"].startswith("evicted: ")
    assert "urgent" in plane.drive.told_to_stop[directory]
    assert not holds_devices(plane, "urgent")
    plane.work()
    plane.until(lambda: holds_devices(plane, "urgent"))
    task = plane.task("training")
    assert (task["state"], task["attempt"], task["evictions"]) == ("Placing", 2, 1)
    assert plane.drive.alive == {}
    plane.delete("Workload", "urgent")
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"
    first, second = started(plane, "training")
    assert first.request.directory == second.request.directory
    assert leftovers(plane) == ([], [])


def test_a_step_that_does_not_stop_is_ended_at_the_deadline_and_not_before(plane: Plane) -> None:
    actor = preempted(plane, "training")
    deadline = plane.store.list("Workload")[0].status["eviction"]["deadline"]
    while plane.clock.now < deadline - 1:
        plane.turn()
        assert actor in plane.drive.alive
        assert not holds_devices(plane, "urgent")
    plane.until(lambda: holds_devices(plane, "urgent"))
    assert actor not in plane.drive.alive
    assert plane.task("training")["state"] == "Placing"


def test_a_step_that_finishes_while_it_is_told_to_stop_is_done(plane: Plane) -> None:
    actor = preempted(plane, "training")
    plane.drive.finish(actor, **plane.outputs(plane.drive.alive[actor]))
    plane.until(lambda: holds_devices(plane, "urgent"))
    assert plane.task("training")["state"] == "Succeeded"
    assert plane.task("training")["attempt"] == 1


def test_an_elastic_training_says_so_and_a_workflow_s_labels_name_its_queue_and_class(plane: Plane) -> None:
    labels = "metadata:\n  labels: {biplane.io/queue: research, biplane.io/priority-class: batch-scoring}\n  name: tune"
    elastic = "                - {name: gpu-count-min, value: '1'}\n"
    text = WORKFLOW.replace("metadata:\n  name: tune", labels)
    plane.apply(text.replace("                - name: gpu-count\n", f"{elastic}                - name: gpu-count\n"))
    running(plane, "data")
    plane.work()
    plane.until(lambda: bool(plane.store.list("Workload")))
    assert plane.only("Workload").spec["spec"] == {
        "type": "training",
        "devices": 2,
        "memory": 0,
        "cpus": 0.0,
        "least": 1,
        "queue": "research",
        "priority_class": "batch-scoring",
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("gpu-count-min", "3", "at least 3 of 2 devices"),
        ("gpu-count-min", "{{workflow.name}}", "gpu-count-min is 'tune'"),
    ],
)
def test_an_ask_that_cannot_be_fails_its_run_before_it_waits_for_devices(
    plane: Plane, name: str, value: str, expected: str
) -> None:
    given = f"                - {{name: {name}, value: '{value}'}}\n                - name: gpu-count\n"
    plane.apply(WORKFLOW.replace("                - name: gpu-count\n", given))
    plane.settle()
    assert plane.task("training")["state"] == "Failed"
    assert expected in plane.task("training")["reason"]
    assert plane.store.list("Workload") == ()


def test_while_mlflow_is_away_the_other_domains_go_on(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.mlflow.away = True
    for _ in range(8):
        plane.turn("scheduler", "router", "pipeline", "gateway")
        if not any("deployment" in actor for actor in plane.drive.alive):
            plane.work()
    assert plane.task("evaluation")["state"] == "Succeeded"
    plane.mlflow.away = False
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"


def test_a_settled_run_is_looked_at_no_more(plane: Plane) -> None:
    plane.apply(WORKFLOW)
    plane.settle()
    before = (plane.store.revision(), plane.deeds, plane.store.events())
    for _ in range(5):
        plane.turn()
    assert (plane.store.revision(), plane.deeds, plane.store.events()) == before


def test_a_task_may_have_a_name_that_no_workload_could_have(plane: Plane) -> None:
    plane.apply(WORKFLOW.replace("training", "Fine_Tune"))
    plane.settle()
    assert plane.run().status["phase"] == "Succeeded"


@pytest.mark.parametrize(("name", "value"), [("replicas", "two"), ("replicas", "0"), ("model-name", "My_Model")])
def test_a_wrong_argument_of_deploy_model_fails_that_run_and_no_other(plane: Plane, name: str, value: str) -> None:
    """The workflow was stored by a Biplane that did not look at the argument."""
    plane.apply(deploying_as(name, value))
    plane.apply(WORKFLOW.replace("name: tune", "name: other"))
    plane.settle()
    assert plane.run().status["phase"] == "Failed"
    assert value in plane.run().status["reason"]
    assert plane.run("other-1").status["phase"] == "Succeeded"


def test_a_name_that_only_the_run_knows_to_be_wrong_fails_it_with_what_is_right(plane: Plane) -> None:
    given = "  entrypoint: steps\n  arguments: {parameters: [{name: model, value: My_Model}]}\n"
    text = deploying_as("model-name", "{{workflow.parameters.model}}")
    plane.apply(text.replace("  entrypoint: steps\n", given))
    plane.settle()
    assert plane.run().status["phase"] == "Failed"
    assert "found 'My_Model'; expected a name of at most 63" in plane.task("deployment")["reason"]
    assert plane.store.list("Deployment") == ()


def test_a_run_does_not_wait_for_a_version_that_somebody_replaced_while_it_came_up(plane: Plane) -> None:
    both = deploying_as("model-name", "shared")
    plane.apply(both)
    plane.settle()
    plane.apply(both.replace("name: tune", "name: other"))
    for _ in range(60):
        plane.turn()
        for actor, step in list(plane.drive.alive.items()):
            plane.drive.finish(actor, **plane.outputs(step))
        if plane.only("Deployment").spec["spec"]["version"] == 2:
            break
    plane.apply(deployment(version=1).replace("chat", "shared"))
    plane.settle()
    run = plane.run("other-1").status
    reason = "deployment: deployment shared was changed to version 1 meanwhile"
    assert (run["phase"], run["reason"]) == ("Failed", reason)
    assert plane.run("tune-1").status["phase"] == "Succeeded"


def test_an_actor_of_a_deleted_workflow_is_never_taken_for_one_of_its_successor(plane: Plane) -> None:
    """Ray is slow to end the old actor, and the workflow is applied again before it did."""
    plane.apply(WORKFLOW)
    running(plane, "data")
    old = plane.step("data")
    plane.delete("Workflow", "tune")
    plane.apply(WORKFLOW)
    new = plane.step("data")
    directory = plane.drive.alive[str(old)].request.directory

    def refuse(effect: object) -> None:
        if isinstance(effect, EndStep):
            raise OSError("Ray is slow")

    plane.drive.before_act = refuse
    for _ in range(3):
        plane.turn()
    assert sorted(plane.drive.alive) == sorted([str(old), str(new)])
    plane.drive.before_act = lambda effect: None
    plane.turn()
    assert list(plane.drive.alive) == [str(new)]
    assert plane.drive.alive[str(new)].request.directory != directory


@pytest.mark.parametrize("name", ["replicas", "max-model-len"])
def test_a_count_that_only_the_run_knows_to_be_wrong_fails_that_run_and_no_other(name: str) -> None:
    plane = Plane()
    given = "  entrypoint: steps\n  arguments: {parameters: [{name: count, value: two}]}\n"
    text = deploying_as(name, "{{workflow.parameters.count}}").replace("  entrypoint: steps\n", given)
    plane.apply(text)
    plane.apply(WORKFLOW.replace("name: tune", "name: other"))
    plane.settle()
    assert plane.run().status["phase"] == "Failed"
    assert plane.run("other-1").status["phase"] == "Succeeded"

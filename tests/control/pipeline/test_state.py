"""The table of a task's states, walked over every state and every event."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest

from control.kernel.ids import StepName, life_of
from control.kernel.placement import Placement
from control.kernel.plan import Create, EndStep, EnsureStep, Plan, PutSpec, PutStatus
from control.kernel.present import StepState, StepView
from control.pipeline.compile import graph_of
from control.pipeline.dag import Graph
from control.pipeline.decide import decide
from control.pipeline.progress import MAX_ATTEMPTS
from control.pipeline.state import (
    TRANSITIONS,
    DeploymentView,
    Run,
    RunPhase,
    Snapshot,
    Surroundings,
    TaskEvent,
    TaskState,
    TaskStatus,
    Workflow,
)
from control.pipeline.templates import BUILTIN
from control.specs.load import load_text
from control.specs.workflow import Workflow as WorkflowDocument
from tests.fakes.plane import WORKFLOW

DONE = {
    "data": TaskStatus(TaskState.SUCCEEDED, outputs={"dataset-dir": "/data", "digest": "d"}),
    "training": TaskStatus(TaskState.SUCCEEDED, outputs={"model-dir": "/model", "run-id": "r"}),
    "evaluation": TaskStatus(TaskState.SUCCEEDED, outputs={"accuracy": "0.95"}),
}
REGISTERED = {"model": "tune", "version": "1", "deployment": "tune"}
HELD = Placement("why", "n0", "sim-gpu", ("d0", "d1"))
UID = "0123456789abcdef" * 2


def graph() -> Graph:
    (document,) = load_text(WORKFLOW, "test.yaml")
    assert isinstance(document.spec, WorkflowDocument)
    return graph_of(document.spec, BUILTIN)


GRAPH = graph()


def look(
    tasks: Mapping[str, TaskStatus],
    steps: Mapping[str, StepView] | None = None,
    placement: Placement | None = None,
    deployments: Mapping[str, DeploymentView] | None = None,
    generation: int = 1,
) -> Snapshot:
    """A running run of generation 1 of a workflow that is at `generation`."""
    run = Run("tune-1", 5, "tune", UID, 1, GRAPH, "", {}, RunPhase.RUNNING, tasks, {"phase": "Running"})
    steps = steps or {}
    return Snapshot(
        now=10.0,
        workflows=(Workflow("tune", UID, generation, {}),),
        runs=(run,),
        steps=steps,
        actors=frozenset(actor for actor, step in steps.items() if step.state is StepState.RUNNING),
        placements={} if placement is None else {name_of("training").workload: placement},
        deployments=deployments or {},
        surroundings=Surroundings("/runs", "http://mlflow"),
    )


def name_of(task: str, attempt: int = 1) -> StepName:
    return StepName("tune-1", life_of(UID), task, attempt)


def step(task: str, state: StepState, attempt: int = 1, **outputs: str) -> dict[str, StepView]:
    return {str(name_of(task, attempt)): StepView(state, outputs, "broken" if state is StepState.FAILED else "")}


def upto(task: str, status: TaskStatus) -> dict[str, TaskStatus]:
    """The tasks before `task` done, the task itself as given."""
    names = [one.name for one in GRAPH.tasks]
    return {name: DONE[name] for name in names[: names.index(task)]} | {task: status}


RUNNING = TaskStatus(TaskState.RUNNING, started_at=1.0)
DEPLOYING = TaskStatus(TaskState.DEPLOYING, outputs=REGISTERED)
WAITING = TaskStatus()
PLACING = TaskStatus(TaskState.PLACING)
LOW = {**upto("deployment", WAITING), "evaluation": TaskStatus(TaskState.SUCCEEDED, outputs={"accuracy": "0.1"})}
UNSAID = {**upto("deployment", WAITING), "evaluation": TaskStatus(TaskState.SUCCEEDED)}
BROKEN = {**upto("training", WAITING), "data": TaskStatus(TaskState.FAILED)}

REACHED: dict[tuple[TaskState, TaskEvent], tuple[str, Snapshot]] = {
    (TaskState.WAITING, TaskEvent.READY): ("data", look({})),
    (TaskState.WAITING, TaskEvent.NEEDS_DEVICES): ("training", look(upto("training", WAITING))),
    (TaskState.WAITING, TaskEvent.CONDITION_FALSE): ("deployment", look(LOW)),
    (TaskState.WAITING, TaskEvent.UPSTREAM_UNDONE): ("training", look(BROKEN)),
    (TaskState.WAITING, TaskEvent.UNRESOLVED): ("deployment", look(UNSAID)),
    (TaskState.WAITING, TaskEvent.CANCEL): ("data", look({"data": WAITING}, generation=2)),
    (TaskState.PLACING, TaskEvent.LEASED): ("training", look(upto("training", PLACING), placement=HELD)),
    (TaskState.PLACING, TaskEvent.CANCEL): ("training", look(upto("training", PLACING), generation=2)),
    (TaskState.RUNNING, TaskEvent.DONE): (
        "data",
        look({"data": RUNNING}, {str(name_of("data")): StepView(StepState.SUCCEEDED, {"dataset-dir": "/d"})}),
    ),
    (TaskState.RUNNING, TaskEvent.DONE_DEPLOYS): (
        "deployment",
        look(upto("deployment", RUNNING), step("deployment", StepState.SUCCEEDED, model="tune", version="1")),
    ),
    (TaskState.RUNNING, TaskEvent.BROKE): ("data", look({"data": RUNNING}, step("data", StepState.FAILED))),
    (TaskState.RUNNING, TaskEvent.LOST): ("data", look({"data": RUNNING}, step("data", StepState.LOST))),
    (TaskState.RUNNING, TaskEvent.SPENT): (
        "data",
        look({"data": replace(RUNNING, attempt=MAX_ATTEMPTS)}, step("data", StepState.LOST, MAX_ATTEMPTS)),
    ),
    (TaskState.RUNNING, TaskEvent.CANCEL): ("data", look({"data": RUNNING}, generation=2)),
    (TaskState.DEPLOYING, TaskEvent.SERVES): (
        "deployment",
        look(upto("deployment", DEPLOYING), deployments={"tune": DeploymentView(1, "Ready", "", frozenset({1}))}),
    ),
    (TaskState.DEPLOYING, TaskEvent.DEPLOYMENT_FAILED): (
        "deployment",
        look(upto("deployment", DEPLOYING), deployments={"tune": DeploymentView(1, "Failed", "no", frozenset())}),
    ),
    (TaskState.DEPLOYING, TaskEvent.CANCEL): ("deployment", look(upto("deployment", DEPLOYING), generation=2)),
}


def status_of(plan: Plan, task: str) -> TaskStatus:
    (record,) = [record for record in plan.records if isinstance(record, PutStatus)]
    return TaskStatus.read(record.status["tasks"][task])


@pytest.mark.parametrize(("state", "event"), itertools.product(TaskState, TaskEvent))
def test_every_pair_of_state_and_event_has_its_next_state_or_cannot_be(state: TaskState, event: TaskEvent) -> None:
    assert ((state, event) in TRANSITIONS) == ((state, event) in REACHED)
    if (state, event) in REACHED:
        task, snapshot = REACHED[state, event]
        assert snapshot.runs[0].tasks.get(task, TaskStatus()).state is state
        found = status_of(decide(snapshot), task)
        assert found.state is TRANSITIONS[state, event]
        assert found.reason
        assert (found.finished_at is not None) is found.state.settled


@pytest.mark.parametrize("state", TaskState)
def test_nothing_happens_to_a_settled_task(state: TaskState) -> None:
    assert state.settled is not any(before is state for before, _ in TRANSITIONS)
    assert not (state.settled and state.holds_devices)


def test_a_lost_step_keeps_its_start_time_and_counts_one_attempt_more() -> None:
    found = status_of(decide(REACHED[TaskState.RUNNING, TaskEvent.LOST][1]), "data")
    assert (found.started_at, found.attempt) == (1.0, 2)


def test_the_deployment_is_wanted_in_the_same_commit_as_the_state_that_waits_for_it() -> None:
    plan = decide(REACHED[TaskState.RUNNING, TaskEvent.DONE_DEPLOYS][1])
    (wanted,) = [record for record in plan.records if isinstance(record, PutSpec)]
    assert (wanted.kind, wanted.name) == ("Deployment", "tune")
    assert wanted.spec["spec"] == {
        "model": "tune",
        "version": 1,
        "replicas": 1,
        "devices": 1,
        "memory": 0,
        "priority_class": None,
        "engine": {"max_model_len": 256},
    }
    assert wanted.reason == "run tune-1 registered version 1"


def test_a_task_that_needs_devices_asks_for_them_when_it_is_placed_and_is_not_started() -> None:
    plan = decide(REACHED[TaskState.WAITING, TaskEvent.NEEDS_DEVICES][1])
    (asked,) = [record for record in plan.records if isinstance(record, Create)]
    assert (asked.kind, asked.name, asked.spec["spec"]["devices"]) == ("Workload", name_of("training").workload, 2)
    assert plan.effects == ()


def test_a_running_task_without_its_actor_is_started_and_with_it_left_alone() -> None:
    (start,) = decide(look({"data": RUNNING})).effects
    assert isinstance(start, EnsureStep)
    assert start.actor == str(name_of("data"))
    assert decide(look({"data": RUNNING}, step("data", StepState.RUNNING))).effects == ()


def test_a_running_task_whose_lease_points_at_a_node_that_is_gone_waits_for_the_scheduler() -> None:
    assert decide(look(upto("training", RUNNING), placement=Placement("sim-0 is gone"))).effects == ()


def test_a_step_actor_that_no_task_needs_is_ended() -> None:
    strange = look(upto("training", PLACING), step("data", StepState.RUNNING), HELD)
    (end,) = [effect for effect in decide(strange).effects if isinstance(effect, EndStep)]
    assert end.actor == str(name_of("data"))


def deploying(view: DeploymentView) -> TaskStatus:
    """The task that waits for version 1 of its deployment, after one look at it."""
    return status_of(decide(look(upto("deployment", DEPLOYING), deployments={"tune": view})), "deployment")


def test_a_deployment_that_was_changed_to_another_version_fails_the_task_with_that_reason() -> None:
    for other in (DeploymentView(2, "Ready", "", frozenset({2})), DeploymentView(2, "Starting", "", frozenset({1}))):
        found = deploying(other)
        assert found.state is TaskState.FAILED
        assert found.reason == "deployment tune was changed to version 2 meanwhile"


def test_a_deployment_that_wants_the_latest_version_is_waited_for_until_it_has_the_task_s() -> None:
    assert deploying(DeploymentView(None, "Starting", "soon", frozenset())).state is TaskState.DEPLOYING
    assert deploying(DeploymentView(None, "Ready", "", frozenset({1}))).state is TaskState.SUCCEEDED


def test_an_actor_of_another_life_of_the_run_is_ended_and_its_own_started() -> None:
    old = str(replace(name_of("data"), life="ffffffff"))
    start, end = decide(look({"data": RUNNING}, {old: StepView(StepState.RUNNING)})).effects
    assert isinstance(start, EnsureStep)
    assert isinstance(end, EndStep)
    assert (start.actor, end.actor) == (str(name_of("data")), old)


def test_a_status_is_read_back_as_it_was_stored() -> None:
    status = TaskStatus(TaskState.FAILED, "why", 3, {"a": "b"}, 1.5, 2.5)
    assert TaskStatus.read(status.stored()) == status


def test_a_document_that_no_longer_makes_a_graph_fails_its_run_with_the_fault() -> None:
    snapshot = look({})
    broken = replace(snapshot.runs[0], graph=None, fault="unknown template 'clean'")
    plan = decide(replace(snapshot, runs=(broken,)))
    (record,) = plan.records
    assert isinstance(record, PutStatus)
    assert (record.status["phase"], record.status["reason"]) == ("Failed", "unknown template 'clean'")


def test_what_a_running_step_says_of_itself_is_shown_and_leaves_no_event() -> None:
    said = StepView(StepState.RUNNING, progress="step 5 of 10")
    (record,) = decide(look({"data": RUNNING}, {str(name_of("data")): said})).records
    assert isinstance(record, PutStatus)
    assert record.quiet
    assert record.status["tasks"]["data"]["reason"] == "step 5 of 10"
    assert "data: step 5 of 10" in record.status["reason"]

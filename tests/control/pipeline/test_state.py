"""The table of a task's states, walked over every state and every event; and what becomes of its step and its lease."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest

from control.kernel.ids import StepName, life_of
from control.kernel.placement import Placement
from control.kernel.plan import Create, EndStep, EnsureStep, Plan, PutSpec, PutStatus, SignalStep
from control.kernel.present import StepState, StepView
from control.pipeline.compile import graph_of
from control.pipeline.dag import Graph
from control.pipeline.decide import decide
from control.pipeline.progress import MAX_ATTEMPTS, START_SECONDS
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
from control.pipeline.tenure import lease_id
from control.specs.load import load_text
from control.specs.step import GrantPiece
from control.specs.workflow import Workflow as WorkflowDocument
from tests.fakes.plane import WORKFLOW

DONE = {
    "data": TaskStatus(TaskState.SUCCEEDED, outputs={"dataset-dir": "/data", "digest": "d"}),
    "training": TaskStatus(TaskState.SUCCEEDED, outputs={"model-dir": "/model", "run-id": "r"}),
    "evaluation": TaskStatus(TaskState.SUCCEEDED, outputs={"accuracy": "0.95"}),
}
REGISTERED = {"model": "tune", "version": "1", "deployment": "tune"}
HELD = Placement("why", (GrantPiece("sim-gpu", "n0", ("d0", "d1")),))
RECALLED = replace(HELD, evicted="app.chat (critical-inference) needs its devices", deadline=20.0)
ELSEWHERE = Placement("why", (GrantPiece("sim-gpu", "n1", ("d0",)),))
TAKEN_BACK = Placement("n0 has 1 of its 8 H100 free, 2 are asked for")
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
    now: float = 10.0,
) -> Snapshot:
    """A running run of generation 1 of a workflow that is at `generation`."""
    run = Run("tune-1", 5, "tune", UID, 1, GRAPH, "", {}, RunPhase.RUNNING, tasks, {"phase": "Running"})
    steps = steps or {}
    return Snapshot(
        now=now,
        workflows=(Workflow("tune", UID, generation, {}),),
        runs=(run,),
        steps=steps,
        actors=frozenset(actor for actor, step in steps.items() if step.state is StepState.RUNNING),
        placements={} if placement is None else {name_of("training").workload: placement},
        deployments=deployments or {},
        surroundings=Surroundings("/runs", "http://mlflow", "/claims"),
    )


def name_of(task: str, attempt: int = 1) -> StepName:
    return StepName("tune-1", life_of(UID), task, attempt)


def step(task: str, state: StepState, attempt: int = 1, **outputs: str) -> dict[str, StepView]:
    return {str(name_of(task, attempt)): StepView(state, outputs, "broken" if state is StepState.FAILED else "")}


def upto(task: str, status: TaskStatus) -> dict[str, TaskStatus]:
    """The tasks before `task` done, the task itself as given."""
    names = [one.name for one in GRAPH.tasks]
    return {name: DONE[name] for name in names[: names.index(task)]} | {task: status}


RUNNING = TaskStatus(TaskState.RUNNING, started_at=1.0, wanted_at=1.0)
ON_LEASE = replace(RUNNING, lease=lease_id(HELD))
EVICTING = replace(ON_LEASE, state=TaskState.EVICTING, reason="evicted: app.chat needs its devices")
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
    (TaskState.RUNNING, TaskEvent.EVICTED): (
        "training",
        look(upto("training", ON_LEASE), step("training", StepState.RUNNING), RECALLED),
    ),
    (TaskState.EVICTING, TaskEvent.STOPPED): (
        "training",
        look(upto("training", EVICTING), step("training", StepState.LOST), RECALLED),
    ),
    (TaskState.EVICTING, TaskEvent.DONE): (
        "training",
        look(upto("training", EVICTING), step("training", StepState.SUCCEEDED), RECALLED),
    ),
    (TaskState.EVICTING, TaskEvent.DONE_DEPLOYS): (
        "deployment",
        look(upto("deployment", EVICTING), step("deployment", StepState.SUCCEEDED, model="tune", version="1")),
    ),
    (TaskState.EVICTING, TaskEvent.BROKE): (
        "training",
        look(upto("training", EVICTING), step("training", StepState.FAILED), RECALLED),
    ),
    (TaskState.EVICTING, TaskEvent.CANCEL): ("training", look(upto("training", EVICTING), generation=2)),
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
    assert not state.has_step or state.holds_devices


def test_a_lost_step_keeps_its_start_time_and_counts_one_attempt_more() -> None:
    found = status_of(decide(REACHED[TaskState.RUNNING, TaskEvent.LOST][1]), "data")
    assert (found.started_at, found.attempt) == (1.0, 2)


def test_the_deployment_is_wanted_in_the_same_commit_as_the_state_that_waits_for_it() -> None:
    plan = decide(REACHED[TaskState.RUNNING, TaskEvent.DONE_DEPLOYS][1])
    (wanted,) = [record for record in plan.records if isinstance(record, PutSpec)]
    assert (wanted.kind, wanted.name) == ("Deployment", "tune")
    asked = {"model": "tune", "version": 1, "replicas": 1, "devices": 1, "engine": {"max_model_len": 256}}
    assert wanted.spec["spec"].items() >= asked.items()
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


def test_an_attempt_is_started_on_the_lease_that_was_recorded_with_its_state() -> None:
    plan = decide(REACHED[TaskState.PLACING, TaskEvent.LEASED][1])
    (start,) = plan.effects
    assert isinstance(start, EnsureStep)
    assert start.request.grant == HELD.grant
    assert (start.request.workload, start.request.claims) == (name_of("training").workload, "/claims")
    assert status_of(plan, "training").lease == lease_id(HELD)


@pytest.mark.parametrize(
    "placement", [None, TAKEN_BACK, ELSEWHERE, RECALLED], ids=["none", "pending", "moved", "evicted"]
)
@pytest.mark.parametrize("status", [ON_LEASE, EVICTING], ids=["running", "evicting"])
def test_a_step_that_is_not_there_is_started_on_no_lease_but_its_own(
    status: TaskStatus, placement: Placement | None
) -> None:
    assert decide(look(upto("training", status), placement=placement)).effects == ()


def test_a_task_that_is_being_placed_and_evicted_starts_nothing() -> None:
    plan = decide(look(upto("training", PLACING), placement=RECALLED))
    assert plan.effects == ()
    assert status_of(plan, "training").state is TaskState.PLACING


@pytest.mark.parametrize("status", [ON_LEASE, EVICTING], ids=["noticed now", "noticed before"])
@pytest.mark.parametrize(("now", "effect"), [(10.0, SignalStep), (19.9, SignalStep), (20.0, EndStep), (99.0, EndStep)])
def test_a_step_whose_devices_are_wanted_back_is_told_in_every_pass_and_ended_at_the_deadline(
    status: TaskStatus, now: float, effect: type
) -> None:
    (found,) = decide(look(upto("training", status), step("training", StepState.RUNNING), RECALLED, now=now)).effects
    assert type(found) is effect
    assert found.reason.startswith("evicted: app.chat")
    if isinstance(found, SignalStep):
        assert found.directory == f"/runs/{UID[:12]}-1/training"
    if isinstance(found, EndStep):
        assert found.actor == str(name_of("training"))


@pytest.mark.parametrize("placement", [None, TAKEN_BACK, ELSEWHERE], ids=["none", "pending", "moved"])
@pytest.mark.parametrize("status", [ON_LEASE, EVICTING], ids=["running", "evicting"])
def test_a_step_whose_lease_has_ended_is_ended_at_once(status: TaskStatus, placement: Placement | None) -> None:
    plan = decide(look(upto("training", status), step("training", StepState.RUNNING), placement))
    (end,) = plan.effects
    assert isinstance(end, EndStep)
    assert status_of(plan, "training").state is TaskState.EVICTING


@pytest.mark.parametrize(
    "placement", [None, TAKEN_BACK, ELSEWHERE, RECALLED], ids=["none", "pending", "moved", "evicted"]
)
@pytest.mark.parametrize("state", [StepState.LOST, StepState.ABSENT])
def test_when_it_has_stopped_it_is_placed_again_as_the_next_attempt_that_says_for_whom(
    state: StepState, placement: Placement | None
) -> None:
    found = status_of(decide(look(upto("training", EVICTING), step("training", state), placement)), "training")
    assert (found.state, found.attempt, found.evictions, found.lease) == (TaskState.PLACING, 2, 1, "")
    assert found.reason == "evicted: app.chat needs its devices"
    assert found.started_at == 1.0


@pytest.mark.parametrize(
    "placement", [None, TAKEN_BACK, ELSEWHERE, RECALLED], ids=["none", "pending", "moved", "evicted"]
)
@pytest.mark.parametrize("status", [ON_LEASE, EVICTING], ids=["running", "evicting"])
def test_a_step_that_finished_before_it_noticed_is_simply_done(status: TaskStatus, placement: Placement | None) -> None:
    plan = decide(look(upto("training", status), step("training", StepState.SUCCEEDED), placement))
    assert status_of(plan, "training").state is TaskState.SUCCEEDED


@pytest.mark.parametrize("placement", [None, TAKEN_BACK, ELSEWHERE], ids=["none", "pending", "moved"])
def test_a_step_that_failed_because_its_devices_were_gone_has_not_failed(placement: Placement | None) -> None:
    failed = step("training", StepState.FAILED)
    noticed = status_of(decide(look(upto("training", ON_LEASE), failed, placement)), "training")
    assert noticed.state is TaskState.EVICTING
    assert status_of(decide(look(upto("training", noticed), failed, placement)), "training").state is TaskState.PLACING


def test_an_actor_that_lives_on_keeps_its_task_from_being_placed_again() -> None:
    failed = look(upto("training", EVICTING), step("training", StepState.FAILED), TAKEN_BACK)
    plan = decide(replace(failed, actors=frozenset({str(name_of("training"))})))
    assert status_of(plan, "training").state is TaskState.EVICTING
    (end,) = plan.effects
    assert isinstance(end, EndStep)


def test_attempts_that_were_evicted_do_not_count_as_lost() -> None:
    often = replace(ON_LEASE, attempt=MAX_ATTEMPTS + 3, evictions=4)
    lost = step("training", StepState.LOST, MAX_ATTEMPTS + 3)
    again = status_of(decide(look(upto("training", often), lost, HELD)), "training")
    assert (again.state, again.attempt, again.evictions) == (TaskState.RUNNING, MAX_ATTEMPTS + 4, 4)
    spent = status_of(decide(look(upto("training", replace(often, evictions=3)), lost, HELD)), "training")
    assert spent.state is TaskState.FAILED


def test_an_attempt_that_does_not_begin_in_time_counts_as_lost() -> None:
    late = RUNNING.wanted_at + START_SECONDS
    assert status_of(decide(look({"data": replace(RUNNING, reason="")}, now=late - 1)), "data").attempt == 1
    found = status_of(decide(look({"data": RUNNING}, now=late + 1)), "data")
    assert (found.state, found.attempt, found.wanted_at) == (TaskState.RUNNING, 2, late + 1)
    assert found.reason == "attempt 1 did not begin within 60 s; it goes on in a new one"


def test_an_attempt_that_cannot_begin_counts_as_lost_at_once_and_says_why() -> None:
    refused = {str(name_of("data")): StepView(StepState.ABSENT, error="GPU-1 is held by step.other (pid 7)")}
    found = status_of(decide(look({"data": RUNNING}, refused)), "data")
    assert (found.attempt, found.reason) == (
        2,
        "attempt 1 could not begin: GPU-1 is held by step.other (pid 7); it goes on in a new one",
    )


def test_a_lost_attempt_says_why_when_that_is_known() -> None:
    why = {str(name_of("data", MAX_ATTEMPTS)): StepView(StepState.LOST, error="the node ran out of memory")}
    spent = replace(RUNNING, attempt=MAX_ATTEMPTS)
    found = status_of(decide(look({"data": spent}, why)), "data")
    assert found.reason == "its process was lost 5 times: the node ran out of memory"


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
    status = TaskStatus(TaskState.FAILED, "why", 3, {"a": "b"}, 1.5, 2.5, 2, "d6e6ba8b", 0.5)
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

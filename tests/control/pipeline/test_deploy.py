"""What a pipeline changes of a deployment that a person has written, and when it has to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from control.kernel.plan import Plan, PutSpec, PutStatus
from control.pipeline.decide import decide
from control.pipeline.state import DeploymentView, Snapshot, TaskEvent, TaskState, TaskStatus
from control.specs.load import load_text
from tests.control.pipeline.test_state import REACHED

MINE = """\
apiVersion: biplane/v1
kind: Deployment
metadata: {name: tune, labels: {team: law}}
spec:
  model: tune
  version: 7
  replicas: 3
  devices: 2
  engine: {max_model_len: 4096, max_num_seqs: 8}
  rollout: {strategy: canary, steps: [5, 100]}
  sla: {ttft_ms: 300}
"""
ROLLING = "a roll-out from version 6 to version 7 goes on (5 % of the traffic so far)"


def mine(text: str = MINE) -> Mapping[str, Any]:
    (document,) = load_text(text, "mine.yaml")
    return document.spec.model_dump(mode="json")


def look(
    document: Mapping[str, Any],
    parameters: Mapping[str, str] | None = None,
    *,
    rolling: str = "",
    wanted: int | None = 7,
) -> Snapshot:
    """Version 1 of `tune` was registered where this deployment of it is; the task was given `parameters`."""
    _, snapshot = REACHED[TaskState.RUNNING, TaskEvent.DONE_DEPLOYS]
    (run,) = snapshot.runs
    assert run.graph is not None
    tasks = [
        replace(task, parameters={**task.parameters, **(parameters or {})}) if task.name == "deployment" else task
        for task in run.graph.tasks
    ]
    view = DeploymentView(wanted, "Ready", "", frozenset({7}), document, rolling)
    graph = replace(run.graph, tasks=tuple(tasks))
    return replace(snapshot, runs=(replace(run, graph=graph),), deployments={"tune": view})


def deployed(plan: Plan) -> Mapping[str, Any]:
    (record,) = [record for record in plan.records if isinstance(record, PutSpec)]
    return record.spec


def task(plan: Plan) -> TaskStatus:
    (record,) = [record for record in plan.records if isinstance(record, PutStatus)]
    return TaskStatus.read(record.status["tasks"]["deployment"])


def test_of_a_person_s_deployment_only_the_version_changes() -> None:
    wanted = deployed(decide(look(mine())))
    assert wanted == {**mine(), "spec": {**mine()["spec"], "version": 1}}


def test_what_the_task_was_given_changes_too_and_nothing_beside_it() -> None:
    wanted = deployed(decide(look(mine(), {"replicas": "5", "max-model-len": "512"})))["spec"]
    before = mine()["spec"]
    engine = {"max_model_len": 512, "max_num_seqs": 8}
    assert wanted == {**before, "version": 1, "replicas": 5, "engine": engine}


def test_a_length_that_nobody_gave_is_not_written_into_a_deployment_that_is_there() -> None:
    text = MINE.replace("  engine: {max_model_len: 4096, max_num_seqs: 8}\n", "")
    assert deployed(decide(look(mine(text))))["spec"]["engine"] == {}


def test_while_a_roll_out_goes_on_the_next_version_waits_for_it() -> None:
    found = task(decide(look(mine(), rolling=ROLLING)))
    assert (found.state, found.reason) == (TaskState.RUNNING, f"version 1 of tune waits: {ROLLING}")
    assert not any(isinstance(record, PutSpec) for record in decide(look(mine(), rolling=ROLLING)).records)


def test_a_version_that_is_being_rolled_out_already_does_not_wait_for_itself() -> None:
    assert task(decide(look(mine(), rolling=ROLLING, wanted=1))).state is TaskState.DEPLOYING


@pytest.mark.parametrize(
    ("text", "parameters", "why"),
    [
        (MINE.replace("model: tune", "model: other"), {}, "deployment tune serves another model, other"),
        (MINE.replace("replicas: 3", "autoscaling: {max: 4}"), {"replicas": "5"}, "replicas 5 beside autoscaling"),
    ],
)
def test_a_deployment_that_cannot_be_fails_the_task_with_the_reason(
    text: str, parameters: dict[str, str], why: str
) -> None:
    found = task(decide(look(mine(text), parameters)))
    assert found.state is TaskState.FAILED
    assert why in found.reason

"""What the pipeline runner observes: workflows and runs from the store, steps from Ray and from their receipts."""

from __future__ import annotations

from collections.abc import Iterable

from control.kernel.ids import STEP_PREFIX
from control.kernel.placement import placement_of
from control.kernel.present import Drive
from control.kernel.store import Object, Store
from control.pipeline.compile import Faulty, graph_of
from control.pipeline.dag import Graph
from control.pipeline.request import step_directory
from control.pipeline.state import (
    DeploymentView,
    Run,
    RunPhase,
    Snapshot,
    Surroundings,
    TaskStatus,
    Workflow,
)
from control.pipeline.templates import Table, table_with
from control.rolling import Rolling
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow as WorkflowDocument


def observe(store: Store, drive: Drive, surroundings: Surroundings, now: float) -> Snapshot:
    live = frozenset(node.node_id for node in drive.nodes())
    stored = store.list("Workflow", "Run", "StepTemplate", "Workload", "Deployment")
    table = step_table(stored)
    runs = tuple(run_of(o, table) for o in stored if o.kind == "Run")
    return Snapshot(
        now=now,
        workflows=tuple(Workflow(o.name, o.uid, o.generation, o.spec) for o in stored if o.kind == "Workflow"),
        runs=runs,
        steps={
            actor: drive.step(actor, step_directory(run, task, surroundings))
            for run in runs
            if run.phase is RunPhase.RUNNING
            for task, status in run.tasks.items()
            if status.state.has_step
            for actor in (str(run.step(task, status.attempt)),)
        },
        actors=drive.actors(STEP_PREFIX),
        placements={o.name: placement_of(o.status, live) for o in stored if o.kind == "Workload"},
        deployments={o.name: _deployment(o) for o in stored if o.kind == "Deployment"},
        surroundings=surroundings,
    )


def step_table(stored: Iterable[Object]) -> Table:
    """The built-in step types and those that the user added."""
    return table_with(StepTemplate.model_validate(o.spec) for o in stored if o.kind == "StepTemplate")


def run_of(stored: Object, table: Table) -> Run:
    document = WorkflowDocument.model_validate(stored.spec["document"])
    graph: Graph | None = None
    fault = ""
    try:
        graph = graph_of(document, table)
    except Faulty as error:
        fault = str(error)
    return Run(
        name=stored.name,
        revision=stored.revision,
        workflow=stored.spec["workflow"],
        uid=stored.spec["uid"],
        generation=stored.spec["generation"],
        graph=graph,
        fault=fault,
        parameters={p.name: p.value for p in document.spec.arguments.parameters},
        phase=RunPhase(stored.status.get("phase", RunPhase.RUNNING.value)),
        tasks={name: TaskStatus.read(body) for name, body in stored.status.get("tasks", {}).items()},
        status=stored.status,
        labels=document.metadata.labels,
    )


def _deployment(stored: Object) -> DeploymentView:
    """A status that speaks of an earlier generation says nothing of this one, but for the roll-out that goes on."""
    current = stored.status.get("generation") == stored.generation
    version = stored.spec["spec"]["version"]
    rolling = Rolling.of(stored.status)
    return DeploymentView(
        wanted=None if version == "latest" else version,
        phase=stored.status["phase"] if current else "",
        reason=stored.status["reason"] if current else "the router has not looked at it yet",
        versions=frozenset(arm["version"] for arm in stored.status["arms"]) if current else frozenset(),
        document=stored.spec,
        rolling="" if rolling is None else str(rolling),
    )

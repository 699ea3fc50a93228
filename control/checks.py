"""What must hold before a document is applied: beyond its own form, against the steps and the devices there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from control.kernel.store import Object
from control.pipeline.compile import check, graph_of
from control.pipeline.templates import Table, table_with
from control.scheduler.fit import refusals_when_empty
from control.scheduler.state import Node, Workload
from control.scheduler.view import known_nodes, priorities_of
from control.specs.deployment import Deployment
from control.specs.document import Document
from control.specs.gpu_policy import ClusterPolicy
from control.specs.problem import Fault, Loc, Problem, SpecError, nearest
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow
from control.specs.workload import Workload as WorkloadDocument
from control.waiting import waiting_values


@dataclass(frozen=True)
class Ask:
    """What a document asks of the cluster, and the place in the file that says so."""

    path: Loc
    workload: Workload


@dataclass(frozen=True)
class Surroundings:
    """What documents are checked against: the steps, nodes and priority classes; whether a plane was started."""

    started: bool
    steps: Table
    nodes: tuple[Node, ...]
    priorities: Sequence[str]

    @staticmethod
    def of(documents: Iterable[Document], stored: Iterable[Object], *, started: bool) -> Surroundings:
        """What is stored, and what the documents themselves bring."""
        stored = tuple(stored)
        specs = [document.spec for document in documents]
        templates = [StepTemplate.model_validate(o.spec) for o in stored if o.kind == "StepTemplate"]
        templates += [spec for spec in specs if isinstance(spec, StepTemplate)]
        priorities = set(priorities_of(stored))
        for spec in specs:
            if isinstance(spec, ClusterPolicy):
                priorities |= {p.name for p in spec.priorities}
        return Surroundings(started, table_with(templates), known_nodes(stored), sorted(priorities))


def check_documents(documents: Sequence[Document], around: Surroundings) -> tuple[Problem, ...]:
    """Raises SpecError with everything that is wrong; returns warnings where there is nothing to check against."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for document in documents:
        faults = _meaning(document, around)
        problems += document.problems(faults)
        if faults:
            continue
        waiting = waiting_values(document, around.steps)
        notes = [Fault(one.path, f"{one.value!r} waits for the {one.waits_for} issue; {one.note}") for one in waiting]
        warnings += document.problems(notes)
        asks = asks_of(document, around.steps)
        problems += document.problems(_capacity(asks, around.nodes)) if around.nodes else []
        if asks and not around.nodes:
            largest = max(asks, key=lambda ask: ask.workload.devices)
            why = "no node has joined yet" if around.started else "no plane was started here"
            note = Fault(largest.path, f"{why}: nothing says whether {_size(largest)} exist")
            warnings += document.problems([note])
    if problems:
        raise SpecError(problems)
    return tuple(warnings)


def asks_of(document: Document, steps: Table) -> list[Ask]:
    """Everything of the document that will need a lease."""
    match document.spec:
        case WorkloadDocument() as spec:
            return [_ask(("spec", "devices"), spec.spec.devices, spec.spec.memory, spec.spec.device_memory)]
        case Deployment() as spec:
            replicas = spec.spec.replicas
            return [_ask(("spec", "devices"), spec.spec.devices * replicas, spec.spec.memory * replicas)]
        case Workflow() as spec:
            tasks = graph_of(spec, steps).tasks
            return [_ask(task.path, task.devices, task.memory) for task in tasks if task.needs_lease]
        case _:
            return []


def _meaning(document: Document, around: Surroundings) -> list[Fault]:
    match document.spec:
        case Workflow() as spec:
            return check(spec, around.steps)
        case WorkloadDocument() | Deployment() as spec:
            name = spec.spec.priority
            if name in around.priorities:
                return []
            known = ", ".join(around.priorities)
            found = f"there is no priority class {name!r}"
            return [Fault(("spec", "priority_class"), found, f"one of {known}", nearest(name, around.priorities))]
        case _:
            return []


def _capacity(asks: Iterable[Ask], nodes: tuple[Node, ...]) -> list[Fault]:
    return [
        Fault(ask.path, f"{_size(ask)} can never be had: {'; '.join(reasons)}")
        for ask in asks
        if (reasons := refusals_when_empty(ask.workload, nodes))
    ]


def _ask(path: Loc, devices: int, memory: int, device_memory: int = 0) -> Ask:
    return Ask(path, Workload("", 0, "", devices, memory, device_memory, "", 0.0))


def _size(ask: Ask) -> str:
    return f"{ask.workload.devices} device(s) and {ask.workload.memory / (1 << 30):.0f} GiB of memory"

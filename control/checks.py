"""What must hold before a document is applied: beyond its own form, against the steps and the devices there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import ValidationError

from control.checks_collection import Known, collection_faults, collection_notes
from control.checks_collection import room_faults as collection_room_faults
from control.checks_deployment import deployment_faults, deployment_notes, room_faults
from control.checks_filters import filter_faults, filter_notes
from control.checks_gateway import gateway_faults, gateway_notes
from control.kernel.store import Object
from control.pipeline.compile import check, graph_of
from control.pipeline.dag import Task
from control.pipeline.request import PRIORITY_LABEL, QUEUE_LABEL
from control.pipeline.templates import GPU_COUNT_MIN, Table, table_with
from control.registry.view import KINDS
from control.scheduler import state
from control.scheduler.ask import refusals_when_empty, wanted
from control.scheduler.fair_share import NOTHING
from control.scheduler.layout import Site, cluster_faults, layout_faults, sites_of
from control.scheduler.queue import Quotas
from control.scheduler.queue_faults import overcommitment, quota_faults, tree_faults
from control.scheduler.rules import rules_of
from control.scheduler.sharing import sharing_faults, sharing_note
from control.scheduler.slicing import least_milli
from control.scheduler.state import WHOLE, Kind, Node, Rules
from control.scheduler.view import known_nodes
from control.specs.base import Manifest
from control.specs.cluster import Cluster
from control.specs.collection import Collection
from control.specs.deployment import Deployment
from control.specs.document import Document
from control.specs.gateway import Gateway, GatewayFile
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.problem import Fault, Loc, Problem, SpecError, nearest, one_of
from control.specs.queue import Queue
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow
from control.specs.workload import Workload, WorkloadSpec
from control.vectors.devices import workload_of
from control.waiting import waiting_values


@dataclass(frozen=True)
class Ask:
    """What a document asks of the cluster, and the place in the file that says so."""

    path: Loc
    workload: state.Workload


@dataclass(frozen=True)
class Surroundings:
    """What documents are checked against: what is stored, with the documents themselves in place of it.

    `started` says whether there is a plane; `nodes` are known, `sites` those that are declared too. With `force` a
    change may take the place of a roll-out that goes on.
    """

    started: bool
    steps: Table
    nodes: tuple[Node, ...]
    rules: Rules
    config_maps: tuple[ConfigMap, ...] = ()
    sites: tuple[Site, ...] = ()
    versions: tuple[Object, ...] = ()
    """What is known of models: their versions, what people decided about them, and the deployments as stored."""
    deployments: tuple[Deployment, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    collections: Mapping[str, Known] = field(default_factory=dict)
    """As they are stored, without the documents."""
    force: bool = False

    @staticmethod
    def of(
        documents: Iterable[Document], stored: Iterable[Object], *, started: bool, force: bool = False
    ) -> Surroundings:
        stored = tuple(stored)
        specs = {(one.kind, one.name): spec for one in stored if (spec := _read(one)) is not None}
        status = {(one.kind, one.name): one.status for one in stored}
        collections = {
            spec.name: Known(spec.spec, status[key]) for key, spec in specs.items() if isinstance(spec, Collection)
        }
        specs |= {(document.kind, document.name): document.spec for document in documents}
        policies = [spec for spec in specs.values() if isinstance(spec, ClusterPolicy)]
        config_maps = tuple(spec for spec in specs.values() if isinstance(spec, ConfigMap))
        nodes = known_nodes(stored)
        return Surroundings(
            started=started,
            versions=tuple(o for o in stored if o.kind in KINDS),
            steps=table_with([spec for spec in specs.values() if isinstance(spec, StepTemplate)]),
            nodes=nodes,
            rules=rules_of(policies, config_maps, [spec for spec in specs.values() if isinstance(spec, Queue)]),
            config_maps=config_maps,
            deployments=tuple(spec for spec in specs.values() if isinstance(spec, Deployment)),
            gateways=tuple(spec.gateway for spec in specs.values() if isinstance(spec, GatewayFile)),
            collections=collections,
            force=force,
            sites=sites_of(nodes, [spec for spec in specs.values() if isinstance(spec, Cluster)]),
        )

    @property
    def devices(self) -> int | None:
        """How many the cluster has, None while no node is known."""
        return sum(len(node.devices) for node in self.nodes) if self.nodes else None


_MODELS: Mapping[str, type[Manifest] | type[GatewayFile]] = {
    "StepTemplate": StepTemplate,
    "ClusterPolicy": ClusterPolicy,
    "ConfigMap": ConfigMap,
    "Cluster": Cluster,
    "Deployment": Deployment,
    "Queue": Queue,
    "Gateway": GatewayFile,
    "Collection": Collection,
}
"""The kinds that others are checked against."""


def _read(stored: Object) -> Manifest | GatewayFile | None:
    """None for what nothing is checked against, and for what an older plane wrote and nobody can read any more."""
    with suppress(ValidationError):
        return _MODELS[stored.kind].model_validate(stored.spec) if stored.kind in _MODELS else None
    return None


def check_documents(documents: Sequence[Document], around: Surroundings) -> tuple[Problem, ...]:
    """Raises SpecError with everything that is wrong; returns warnings where there is nothing to check against."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    of_queues = _queue_faults(documents, around)
    idle = Quotas(() if any(of_queues.values()) else around.rules.queues, NOTHING)
    for document in documents:
        faults = of_queues[document.name] if document.kind == "Queue" else list(_meaning(document, around))
        problems += document.problems(faults)
        if not faults:
            problems += document.problems(list(_capacity(document, around, idle)))
            warnings += document.problems(list(_notes(document, around)))
    if problems:
        raise SpecError(problems)
    return tuple(warnings)


def _queue_faults(documents: Sequence[Document], around: Surroundings) -> Mapping[str, list[Fault]]:
    """By the names of the queues among the documents. Quotas are added up only where the queues are a tree."""
    queues = {queue.name: queue for queue in around.rules.queues}
    written = [document.name for document in documents if document.kind == "Queue"]
    faults = {name: tree_faults(name, queues, written) for name in written}
    if not any(faults.values()):
        faults = {name: list(quota_faults(name, queues, written, around.devices)) for name in written}
    return faults


def asks_of(document: Document, steps: Table) -> list[Ask]:
    """Everything of the document that will need a lease."""
    match document.spec:
        case Workload() as spec:
            return [_ask(document, spec.spec)]
        case Deployment() as spec:
            return [_ask(document, spec.spec.together(_fewest(spec)))]
        case Collection() as spec if spec.spec.index.device == "gpu":
            return [
                Ask(
                    ("spec", "index", "device"),
                    wanted("", workload_of(spec.spec, spec.spec.shards * spec.spec.replicas)),
                )
            ]
        case Workflow() as spec:
            tasks = graph_of(spec, steps).tasks
            return [Ask(task.path, wanted("", _task(task, spec))) for task in tasks if task.needs_lease]
        case _:
            return []


def _fewest(deployment: Deployment) -> int:
    scaling = deployment.spec.autoscaling
    return max(1, scaling.min) if scaling else deployment.spec.replicas


def _beyond(document: Document, deployment: Deployment, around: Surroundings) -> Iterator[Fault]:
    """Replicas that its autoscaling may ask for, or that should stand by, and that can never be had."""
    spec = deployment.spec
    most = spec.most + spec.sla.spares
    asked = _ask(document, spec.together(most)).workload
    if most > _fewest(deployment) and (never := refusals_when_empty(asked, around.nodes, around.rules.layouts)):
        path: Loc = ("spec", "sla", "spares") if spec.sla.spares else ("spec", "autoscaling", "max")
        yield Fault(path, f"{_size(asked)} can never be had: {'; '.join(never)}")


def _ask(document: Document, spec: WorkloadSpec) -> Ask:
    """The place is that of what is asked for: a slice, a share, else devices."""
    given = document.raw["spec"]
    part = next((part for part in ("slice", "share") if part in given), "devices")
    return Ask(("spec", part), wanted("", spec))


def _task(task: Task, workflow: Workflow) -> WorkloadSpec:
    least = task.parameters.get(GPU_COUNT_MIN, "")
    elastic = task.type.workload == "training" and least.isdecimal() and 0 < int(least) <= task.devices
    return WorkloadSpec(
        type=task.type.workload,
        devices=task.devices,
        memory=task.memory,
        least=int(least) if elastic else None,
        span=None if task.type.gang else "node",
        queue=workflow.metadata.labels.get(QUEUE_LABEL),
        priority_class=workflow.metadata.labels.get(PRIORITY_LABEL),
    )


def _meaning(document: Document, around: Surroundings) -> Iterator[Fault]:
    classes, queues = around.rules.priorities, [queue.name for queue in around.rules.queues]
    match document.spec:
        case Workflow() as spec:
            yield from check(spec, around.steps)
            labels: Loc = ("metadata", "labels")
            given = spec.metadata.labels
            yield from _names((*labels, PRIORITY_LABEL), given.get(PRIORITY_LABEL), "priority class", classes)
            yield from _names((*labels, QUEUE_LABEL), given.get(QUEUE_LABEL), "queue", queues)
        case Workload() | Deployment() as spec:
            yield from _names(("spec", "priority_class"), spec.spec.priority, "priority class", classes)
            yield from _names(("spec", "queue"), spec.spec.queue, "queue", queues)
            if isinstance(spec, Deployment):
                others = [one for one in around.deployments if one.name != spec.name]
                known = around.versions
                yield from deployment_faults(spec, others, known, started=around.started, force=around.force)
        case ClusterPolicy() as spec:
            yield from sharing_faults(spec, around.config_maps)
        case ConfigMap() as spec:
            yield from layout_faults(spec, around.sites)
        case Cluster() as spec:
            yield from cluster_faults(spec, document.raw, around.config_maps)
        case GatewayFile() as spec:
            yield from gateway_faults(spec.gateway, [one for one in around.gateways if one.name != spec.name])
            yield from filter_faults(spec)
        case Collection() as spec:
            stored = around.collections.get(spec.name)
            yield from collection_faults(spec, stored, around.deployments, started=around.started)


def _names(path: Loc, name: str | None, what: str, known: Iterable[str]) -> Iterator[Fault]:
    known = sorted(known)
    if name is not None and name not in known:
        expected = one_of(known, f"no {what}: there is none")
        yield Fault(path, f"there is no {what} {name!r}", expected, nearest(name, known))


def _notes(document: Document, around: Surroundings) -> Iterator[Fault]:
    """What to know of a document that is right."""
    for one in waiting_values(document, around.steps):
        yield Fault(one.path, f"{one.value!r} waits for the {one.waits_for} issue; {one.note}")
    match document.spec:
        case ClusterPolicy() as spec:
            yield from sharing_note(spec, around.config_maps)
        case Deployment() as spec:
            yield from deployment_notes(spec, around.versions, around.nodes)
            yield from _beyond(document, spec, around)
        case GatewayFile() as spec:
            yield from gateway_notes(spec.gateway, around.deployments)
            yield from filter_notes(spec)
        case Collection() as spec:
            yield from collection_notes(spec, around.collections.get(spec.name), around.nodes)
        case Queue() as spec if around.devices is not None:
            yield from overcommitment(spec.name, {queue.name: queue for queue in around.rules.queues}, around.devices)
    if around.nodes:
        return
    why = "no node has joined yet" if around.started else "no plane was started here"
    if isinstance(document.spec, Queue) and document.spec.spec.quota:
        yield Fault(("spec", "quota"), f"{why}: nothing says whether {document.spec.spec.quota} devices exist")
    if asks := asks_of(document, around.steps):
        largest = max(asks, key=lambda ask: ask.workload.devices)
        yield Fault(largest.path, f"{why}: nothing says whether {_size(largest.workload)} exist")


def _capacity(document: Document, around: Surroundings, idle: Quotas) -> Iterator[Fault]:
    """What could never be granted, although everybody else had left, or not be used."""
    if isinstance(document.spec, Collection):
        yield from collection_room_faults(document.spec, around.nodes)
    for ask in asks_of(document, around.steps):
        workload, sharing = ask.workload, around.rules.sharing
        size = _size(workload)
        if workload.milli < WHOLE and sharing.replicas < 2:
            expected = "whole devices, or a ClusterPolicy whose devicePlugin.config has a default"
            yield Fault(ask.path, f"{size}, but devices are not shared here", expected)
        elif workload.milli < WHOLE and workload.kind is not Kind.INFERENCE and not sharing.training:
            expected = "whole devices, or timeSlicing with training: true"
            yield Fault(ask.path, f"{size} for {workload.kind.value}: shared devices are for inference", expected)
        elif over_quota := idle.refusal(workload, least_milli(workload)):
            yield Fault(ask.path, over_quota)
        elif never := refusals_when_empty(workload, around.nodes, around.rules.layouts):
            models = {node.gpu_model for node in around.nodes if node.devices}
            asked = sorted(workload.models - models)
            near = nearest(asked[0], models) if asked and not workload.models & models else None
            path = ask.path if near is None else ("spec", "gpu_models", 0)
            yield Fault(path, f"{size} can never be had: {'; '.join(never)}", nearest=near)
        elif isinstance(document.spec, Deployment):
            yield from room_faults(document.spec, around.versions, around.nodes)


def _size(workload: state.Workload) -> str:
    memory = f"{workload.memory / (1 << 30):.0f} GiB of memory"
    if workload.slice:
        return f"{workload.replicas} {workload.slice} slice(s) and {memory}"
    if workload.milli < WHOLE:
        return f"{workload.replicas} share(s) of {workload.milli / WHOLE:g} and {memory}"
    return f"{workload.devices} device(s) and {memory}"

"""A Workflow and the table of step types to a graph of tasks in the order they run, or to all its faults. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from control.pipeline.dag import Graph, Task, Unresolved, known_values
from control.pipeline.expressions import (
    Condition,
    ParseError,
    Reference,
    TaskOutput,
    WorkflowParameter,
    parse,
    parse_value,
    references,
    substitute,
)
from control.pipeline.templates import GPU_COUNT, StepType, Table
from control.specs.problem import Fault, Loc, nearest, one_of
from control.specs.workflow import DagTask, Inputs, Resources, Template, Workflow


class Faulty(ValueError):
    """A workflow that cannot be a graph."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.found for fault in faults))
        self.faults = tuple(faults)


def check(workflow: Workflow, table: Table) -> list[Fault]:
    """Everything wrong with a workflow that its types cannot say; empty when `graph_of` would succeed."""
    return _Compiler(workflow, table).compile()[1]


def graph_of(workflow: Workflow, table: Table) -> Graph:
    """The graph of a workflow that `check` finds no fault in; Faulty otherwise."""
    graph, faults = _Compiler(workflow, table).compile()
    if graph is None:
        raise Faulty(faults)
    return graph


@dataclass(frozen=True)
class _Given:
    """Text that the file gives for a parameter, and where."""

    text: str
    path: Loc


class _Compiler:
    """One pass over one workflow; every method adds what it finds wrong to `faults`.

    Once dependencies are wrong (not `wired`), what follows from them is not reported.
    """

    def __init__(self, workflow: Workflow, table: Table) -> None:
        self.workflow, self.table = workflow, table
        self.faults: list[Fault] = []
        self.parameters = {one.name: one.value for one in workflow.spec.arguments.parameters}
        self.templates = {one.name: (place, one) for place, one in enumerate(workflow.spec.templates)}
        self.tasks: dict[str, tuple[Loc, DagTask]] = {}
        self.wired = True
        self.order: nx.DiGraph[str] = nx.DiGraph()  # from a dependency to its dependents

    def compile(self) -> tuple[Graph | None, list[Fault]]:
        for place, template in enumerate(self.workflow.spec.templates):
            self._check_template(("spec", "templates", place), template)
        built = list(self._entry_tasks())
        if self.faults:
            return None, self.faults
        positions = {task.name: position for position, task in enumerate(built)}
        order = nx.lexicographical_topological_sort(self.order, key=positions.__getitem__)
        return Graph(tuple(built[positions[name]] for name in order)), []

    def _fault(
        self, path: Loc, found: str, expected: str = "", near: str | None = None, also: Loc | None = None
    ) -> None:
        self.faults.append(Fault(path, found, expected, near, also))

    def _check_template(self, path: Loc, template: Template) -> None:
        if template.dag is not None:
            _, entry = self.templates.get(self.workflow.spec.entrypoint, (0, None))
            if entry is not None and entry.dag is not None and entry is not template:
                found = f"'{template.name}' is a second dag; dags inside dags are not supported"
                self._fault((*path, "dag"), found, "one dag, the entrypoint")
            for part, given in (("inputs", template.inputs), ("outputs", template.outputs)):
                if given.parameters:
                    self._fault((*path, part), f"a dag has no {part} here", "spec.arguments.parameters")
            return
        step = self.table.get(template.name)
        if step is None:
            self._fault((*path, "name"), *self._unknown_template(template.name))
            return
        known = [parameter.name for parameter in step.parameters]
        for place, one in enumerate(template.inputs.parameters):
            self._check_known((*path, "inputs", "parameters", place, "name"), one.name, known, step)
        for place, output in enumerate(template.outputs.parameters):
            at = (*path, "outputs", "parameters", place, "name")
            self._check_known(at, output.name, list(step.outputs), step, "output")

    def _unknown_template(self, name: str) -> tuple[str, str, str | None]:
        found = f"unknown template '{name}'"
        return found, one_of(sorted(self.table)), nearest(name, self.table)

    def _check_known(self, path: Loc, name: str, known: list[str], step: StepType, what: str = "parameter") -> None:
        if name not in known:
            found = f"step type '{step.name}' has no {what} '{name}'"
            self._fault(path, found, one_of(known, f"no {what}s"), nearest(name, known))

    def _entry_tasks(self) -> Iterator[Task]:
        """The tasks of the entrypoint that can be built, in the file's order."""
        entrypoint = self.workflow.spec.entrypoint
        if entrypoint not in self.templates:
            dags = [name for name, (_, one) in self.templates.items() if one.dag is not None]
            found, expected = f"unknown entrypoint '{entrypoint}'", one_of(dags, "a template with a dag")
            self._fault(("spec", "entrypoint"), found, expected, nearest(entrypoint, dags))
            return
        place, template = self.templates[entrypoint]
        if template.dag is None:
            self._fault(("spec", "entrypoint"), f"'{entrypoint}' has no dag", "a template with a dag")
            return
        path = ("spec", "templates", place, "dag", "tasks")
        for place, task in enumerate(template.dag.tasks):
            self.tasks[task.name] = ((*path, place), task)
        self._connect()
        self.wired = not any("dependencies" in fault.path for fault in self.faults)
        for at, task in self.tasks.values():
            if built := self._task(at, task):
                yield built

    def _connect(self) -> None:
        """Fills `order`; a dependency that closes a cycle is reported and left out."""
        self.order.add_nodes_from(self.tasks)
        for name, (path, task) in self.tasks.items():
            for place, dependency in enumerate(task.dependencies):
                at = (*path, "dependencies", place)
                if dependency not in self.tasks:
                    others = [other for other in self.tasks if other != name]
                    expected = one_of(others, "no dependencies")
                    self._fault(at, f"no task '{dependency}'", expected, nearest(dependency, others))
                elif nx.has_path(self.order, name, dependency):
                    cycle = [*nx.shortest_path(self.order, name, dependency), name]
                    self._fault(at, f"the tasks wait for each other: {' → '.join(cycle)}")
                else:
                    self.order.add_edge(dependency, name)

    def _task(self, path: Loc, task: DagTask) -> Task | None:
        step = self.table.get(task.template)
        place, template = self.templates.get(task.template, (0, None))
        if step is None or (template is not None and template.dag is not None):
            if template is None:
                self._fault((*path, "template"), *self._unknown_template(task.template))
            elif template.dag is not None:
                found = f"'{task.template}' is a dag; dags inside dags are not supported"
                self._fault((*path, "template"), found, "a step")
            return None
        at: Loc = ("spec", "templates", place)
        container = template.container if template else None
        resources = container.resources if container else Resources()
        part, gpu = resources.gpu
        gpu_path = (*at, "container", "resources", part, "nvidia.com/gpu")
        given = self._given(path, task, step, at, template.inputs if template else Inputs())
        if step.parameter(GPU_COUNT) and gpu is not None:
            given.setdefault(GPU_COUNT, _Given(str(gpu), gpu_path))
        for parameter in step.parameters:
            if parameter.default is not None and not (
                parameter.upstream and self._producers(task.name, parameter.name)
            ):
                given.setdefault(parameter.name, _Given(parameter.default, (*path, "template")))
        parameters, upstream = self._parameters(path, task, step, given)
        return Task(
            name=task.name,
            type=step,
            template=task.template,
            dependencies=tuple(dict.fromkeys(task.dependencies)),
            parameters=parameters,
            upstream=upstream,
            when=self._condition((*path, "when"), task),
            devices=self._devices(given.get(GPU_COUNT), gpu, gpu_path),
            memory=resources.memory,
            cpus=resources.cpus,
            env={one.name: one.value for one in container.env} if container else {},
            path=path,
        )

    def _given(self, path: Loc, task: DagTask, step: StepType, at: Loc, inputs: Inputs) -> dict[str, _Given]:
        """What the file gives: the task's own arguments, and the inputs of the template at `at`."""
        given = {}
        for place, one in enumerate(inputs.parameters):
            part, text = ("default", one.default) if one.value is None else ("value", one.value)
            if text is not None:
                given[one.name] = _Given(text, (*at, "inputs", "parameters", place, part))
        known = [parameter.name for parameter in step.parameters]
        for place, argument in enumerate(task.arguments.parameters):
            there = (*path, "arguments", "parameters", place)
            self._check_known((*there, "name"), argument.name, known, step)
            given[argument.name] = _Given(argument.value, (*there, "value"))
        return given

    def _parameters(
        self, path: Loc, task: DagTask, step: StepType, given: Mapping[str, _Given]
    ) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
        """The parameters that are text, and those taken from an ancestor's outputs."""
        parameters: dict[str, str] = {}
        upstream: dict[str, tuple[str, str]] = {}
        for parameter in step.parameters:
            name = parameter.name
            producers = self._producers(task.name, name) if parameter.upstream else []
            if name in given:
                self._check_value(given[name], task.name)
                if expected := parameter.expected(given[name].text):
                    self._fault(given[name].path, f"'{name}' is {given[name].text!r}", expected)
                parameters[name] = given[name].text
            elif len(producers) == 1:
                upstream[name] = (producers[0], name)
            elif producers:
                found = f"'{name}' could come from {' or '.join(producers)}"
                self._fault(path, found, "arguments that say which")
            elif not parameter.upstream:
                self._fault(path, f"step type '{step.name}' needs the parameter '{name}'", "an argument")
            elif self.wired and all(self._step(ancestor) for ancestor in nx.ancestors(self.order, task.name)):
                found = f"step type '{step.name}' needs the parameter '{name}'"
                self._fault(path, found, "an argument, or a task before it that outputs it")
        return parameters, upstream

    def _producers(self, task: str, output: str) -> list[str]:
        """The nearest ancestors whose type outputs `output`; several only when equally near."""
        distances = nx.single_source_shortest_path_length(self.order.reverse(copy=False), task)
        found = [
            (distance, name)
            for name, distance in distances.items()
            if distance and (step := self._step(name)) and output in step.outputs
        ]
        closest = min((distance for distance, _ in found), default=0)
        return [name for name in self.tasks if (closest, name) in found]

    def _step(self, task: str) -> StepType | None:
        return self.table.get(self.tasks[task][1].template)

    def _check_value(self, given: _Given, task: str) -> None:
        try:
            value = parse_value(given.text)
        except ParseError as error:
            self._fault(given.path, f"column {error.column}: {error.found}", error.expected)
            return
        for reference in references(value):
            self._check_reference(given.path, reference, task)

    def _condition(self, path: Loc, task: DagTask) -> Condition | None:
        if task.when is None:
            return None
        try:
            condition = parse(task.when)
        except ParseError as error:
            self._fault(path, f"condition at column {error.column}: {error.found}", error.expected)
            return None
        for reference in references(condition):
            self._check_reference(path, reference, task.name)
        return condition

    def _check_reference(self, path: Loc, reference: Reference, task: str) -> None:
        shown = f"{{{{{reference.key}}}}}"
        if isinstance(reference, WorkflowParameter) and reference.name not in self.parameters:
            expected = one_of(self.parameters, "spec.arguments.parameters")
            near = nearest(reference.name, self.parameters)
            self._fault(path, f"{shown}: no workflow parameter '{reference.name}'", expected, near)
        if not isinstance(reference, TaskOutput) or not self.wired:
            return
        ancestors = nx.ancestors(self.order, task)
        before = [name for name in self.tasks if name in ancestors]
        if reference.task not in ancestors:
            known = reference.task in self.tasks
            why = f"'{reference.task}' does not run before '{task}'" if known else f"no task '{reference.task}'"
            expected = one_of(before, f"a task that '{task}' depends on")
            self._fault(path, f"{shown}: {why}", expected, None if known else nearest(reference.task, before))
        elif (step := self._step(reference.task)) and reference.output not in step.outputs:
            found = f"{shown}: '{reference.task}' has no output '{reference.output}'"
            near = nearest(reference.output, step.outputs)
            self._fault(path, found, one_of(step.outputs, "no outputs"), near)

    def _devices(self, count: _Given | None, gpu: int | None, gpu_path: Loc) -> int:
        """Devices of a task: what `gpu-count` and `nvidia.com/gpu` say, which must agree; 0 when at fault."""
        if count is None:
            return gpu or 0
        try:
            text = substitute(parse_value(count.text), known_values({}, self.parameters, self.workflow.name))
        except ParseError:
            return 0  # reported where the value was checked
        except Unresolved as error:
            self._fault(count.path, str(error), "a number that is known before the run")
            return 0
        if not re.fullmatch("[0-9]{1,6}", text):
            self._fault(count.path, f"{GPU_COUNT} is '{text}'", "a whole number of devices")
            return 0
        if gpu is not None and int(text) != gpu:
            found = f"{GPU_COUNT} is {text} but the template asks for {gpu} devices"
            self._fault(count.path, found, "the same number", also=gpu_path)
        return int(text)

"""What applying a Workflow or a StepTemplate would do. Pure."""

from __future__ import annotations

from control.pipeline.compile import graph_of
from control.pipeline.dag import Task
from control.pipeline.expressions import unparse
from control.pipeline.templates import Table
from control.specs.line import Line
from control.specs.quantity import show_bytes
from control.specs.step_template import StepTemplate
from control.specs.workflow import Workflow


def preview(spec: Workflow | StepTemplate, table: Table) -> list[Line]:
    """The steps in the order they would run, or the step that would be added. Raises Faulty."""
    match spec:
        case Workflow():
            return [_step(task) for task in graph_of(spec, table).tasks]
        case StepTemplate():
            return [_template(spec)]


def _step(task: Task) -> Line:
    facts = [f"{task.template} runs {task.type.entrypoint}", f"{task.type.workload} workload"]
    if task.dependencies:
        facts.append(f"after {', '.join(task.dependencies)}")
    if task.when is not None:
        facts.append(f"only when {unparse(task.when)}")
    facts.append(f"{task.devices} devices")
    if task.memory:
        facts.append(f"{show_bytes(task.memory)} memory")
    if task.cpus:
        facts.append(f"{task.cpus:g} cores")
    facts += [f"{name}={text}" for name, text in task.parameters.items()]
    facts += [f"{name} from {source}" for name, (source, _) in task.upstream.items()]
    facts += [f"env {name}={text}" for name, text in task.env.items()]
    if task.type.deploys:
        facts.append("then deploys the registered version")
    return Line("step", task.name, tuple(facts))


def _template(spec: StepTemplate) -> Line:
    facts = [f"runs {spec.spec.entrypoint}", f"{spec.spec.workload} workload"]
    for parameter in spec.spec.parameters:
        given = "required" if parameter.default is None else f"default {parameter.default!r}"
        facts.append(f"parameter {parameter.name}: {'upstream, ' if parameter.upstream else ''}{given}")
    facts += [f"output {name}" for name in spec.spec.outputs]
    return Line("step template", spec.name, tuple(facts))

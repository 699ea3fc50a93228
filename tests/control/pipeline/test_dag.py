"""Workflows become graphs, or are refused with the line of every fault."""

from __future__ import annotations

import pytest

from control.pipeline.compile import Faulty, check, graph_of
from control.pipeline.dag import Graph, Task, Unresolved, resolve, should_run
from control.pipeline.templates import BUILTIN, Parameter, StepType, Table
from control.specs.load import load_text
from control.specs.problem import SpecError
from control.specs.workflow import Workflow
from tests.control.specs.samples import WORKFLOW, broken

OWN: Table = {**BUILTIN, "own": StepType("own", "steps:own", (Parameter("gpu-count"),), workload="training")}
OUTPUTS = {
    "data": {"dataset-dir": "/d", "digest": "x"},
    "training": {"model-dir": "/m", "run-id": "r"},
    "evaluation": {"accuracy": "0.9"},
}


def workflow_of(text: str) -> Workflow:
    (document,) = load_text(text, "f.yaml")
    assert isinstance(document.spec, Workflow)
    return document.spec


def graph(text: str = WORKFLOW, table: Table = BUILTIN) -> Graph:
    return graph_of(workflow_of(text), table)


def task_of(name: str, text: str = WORKFLOW, table: Table = BUILTIN) -> Task:
    return next(task for task in graph(text, table).tasks if task.name == name)


def faults(text: str, table: Table = BUILTIN) -> list[str]:
    (document,) = load_text(text, "f.yaml")
    assert isinstance(document.spec, Workflow)
    return [str(problem) for problem in document.problems(check(document.spec, table))]


def dag(*tasks: str) -> str:
    """A workflow of these tasks, each on its own line from line 8."""
    head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: d\n"
    return head + "  templates:\n  - {name: d, dag: {tasks: [\n" + ",\n".join(tasks) + "]}}\n"


def test_the_tasks_stand_in_the_order_they_run() -> None:
    backwards = dag(
        "{name: c, template: preprocess, dependencies: [b]}",
        "{name: b, template: preprocess, dependencies: [a]}",
        "{name: a, template: preprocess}",
    )
    assert [task.name for task in graph(backwards).tasks] == ["a", "b", "c"]


def test_a_container_template_gives_resources_and_the_table_the_entrypoint() -> None:
    training = task_of("training")
    assert training.type is BUILTIN["train-model"]
    assert (training.devices, training.memory) == (4, 128 * 2**30)
    assert training.env == {"NCCL_DEBUG": "INFO"}
    assert training.needs_lease
    assert not task_of("data").needs_lease


def test_cores_that_a_template_asks_for_are_asked_of_the_scheduler() -> None:
    cores = "resources: {limits: {cpu: '4'}, requests: {cpu: 1500m}}"
    text = dag("{name: a, template: preprocess}").replace(
        "]}}\n", "]}}\n  - {name: preprocess, container: {" + cores + "}}\n"
    )
    task = task_of("a", text)
    assert (task.cpus, task.devices, task.needs_lease) == (1.5, 0, True)
    assert task_of("a", text.replace("requests: {cpu: 1500m}", "requests: {}")).cpus == 4.0
    with pytest.raises(SpecError, match="more cores requested than the limit"):
        graph(text.replace("1500m", "5"))


def test_upstream_values_come_from_the_nearest_ancestor_that_has_them() -> None:
    assert task_of("deployment").upstream == {
        "model-dir": ("training", "model-dir"),
        "run-id": ("training", "run-id"),
        "accuracy": ("evaluation", "accuracy"),
    }


def test_an_argument_takes_the_place_of_an_upstream_value() -> None:
    task = task_of(
        "t",
        dag(
            "{name: p, template: preprocess}",
            "{name: t, template: train-model, dependencies: [p], arguments: {parameters: "
            "[{name: dataset-dir, value: '{{tasks.p.outputs.parameters.dataset-dir}}/part'}]}}",
        ),
    )
    assert task.upstream == {}
    assert resolve(task, {"p": {"dataset-dir": "/d"}}, {}, "w")["dataset-dir"] == "/d/part"


def test_parameters_resolve_to_text_with_defaults_filled_in() -> None:
    values = resolve(task_of("training"), OUTPUTS, {"rate": "0.10"}, "tune")
    assert values["learning-rate"] == "0.10"
    assert values["dataset-dir"] == "/d"
    assert values["epochs"] == "1"
    assert values.keys() == {parameter.name for parameter in BUILTIN["train-model"].parameters}
    assert resolve(task_of("deployment"), OUTPUTS, {}, "tune")["model-name"] == "tune"


def test_a_missing_output_is_unresolved() -> None:
    with pytest.raises(Unresolved, match=r"dataset-dir\}\} has no value"):
        resolve(task_of("training"), {"data": {}}, {"rate": "1"}, "tune")


def test_a_task_runs_when_its_condition_holds_and_its_dependencies_ran() -> None:
    deployment = task_of("deployment")
    verdict = should_run(deployment, OUTPUTS, {}, "tune")
    assert (verdict.run, verdict.why) == (True, "0.9 > 0.85 is true")
    verdict = should_run(deployment, {**OUTPUTS, "evaluation": {"accuracy": "0.5"}}, {}, "tune")
    assert (verdict.run, verdict.why) == (False, "0.5 > 0.85 is false")
    verdict = should_run(deployment, {}, {}, "tune")
    assert (verdict.run, verdict.why) == (False, "dependency 'evaluation' did not run")
    assert should_run(task_of("data"), {}, {}, "tune").run


def test_either_of_gpu_count_and_the_templates_gpus_is_enough() -> None:
    only_count = WORKFLOW.replace("            nvidia.com/gpu: 4\n", "")
    only_gpus = WORKFLOW.replace("                - name: gpu-count\n                  value: 4\n", "")
    neither = only_count.replace("                - name: gpu-count\n                  value: 4\n", "")
    found = [task_of("training", text) for text in (only_count, only_gpus, neither)]
    assert [task.devices for task in found] == [4, 4, 1]
    assert [task.parameters["gpu-count"] for task in found] == ["4", "4", "1"]


def test_a_type_that_needs_a_gpu_count_takes_it_from_its_template() -> None:
    text = dag("{name: a, template: own}") + (
        "  - {name: own, container: {resources: {requests: {nvidia.com/gpu: 3}}}}\n"
    )
    task = task_of("a", text, OWN)
    assert (task.devices, task.parameters) == (3, {"gpu-count": "3"})


def test_gpu_count_may_be_a_workflow_parameter() -> None:
    text = WORKFLOW.replace("value: 4", "value: '{{workflow.parameters.rate}}'").replace("0.10", "4")
    assert task_of("training", text).devices == 4


def test_template_inputs_stand_behind_the_tasks_arguments() -> None:
    inputs = "      inputs: {parameters: [{name: epochs, default: 7}, {name: gpu-count, value: 9}]}\n"
    text = broken(WORKFLOW, "    - name: train-model\n", "    - name: train-model\n" + inputs)
    task = task_of("training", text)
    assert (task.parameters["epochs"], task.parameters["gpu-count"]) == ("7", "4")


def test_a_faulty_workflow_has_no_graph() -> None:
    with pytest.raises(Faulty, match="unknown entrypoint 'stps'") as raised:
        graph(broken(WORKFLOW, "entrypoint: steps", "entrypoint: stps"))
    assert raised.value.faults[0].nearest == "steps"


TASKS = "spec.templates[steps].dag.tasks"
GPU_LINE = 'spec.templates[train-model].container.resources.limits["nvidia.com/gpu"] on line 38'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "entrypoint: steps",
            "entrypoint: stps",
            "f.yaml:6: spec.entrypoint: unknown entrypoint 'stps'; did you mean 'steps'?",
        ),
        (
            "entrypoint: steps",
            "entrypoint: train-model",
            "f.yaml:6: spec.entrypoint: 'train-model' has no dag; expected a template with a dag",
        ),
        (
            "dependencies: [data]",
            "dependencies: [dat]",
            f"f.yaml:19: {TASKS}[training].dependencies[0]: no task 'dat'; did you mean 'data'?",
        ),
        (
            "dependencies: [data]",
            "dependencies: [data, deployment]",
            f"f.yaml:31: {TASKS}[deployment].dependencies[0]: the tasks wait for each other: "
            "deployment → training → evaluation → deployment",
        ),
        (
            "dependencies: [data]",
            "dependencies: [data, training]",
            f"f.yaml:19: {TASKS}[training].dependencies[1]: the tasks wait for each other: training → training",
        ),
        (
            "template: preprocess",
            "template: preproces",
            f"f.yaml:16: {TASKS}[data].template: unknown template 'preproces'; did you mean 'preprocess'?",
        ),
        (
            "template: preprocess",
            "template: steps",
            f"f.yaml:16: {TASKS}[data].template: 'steps' is a dag; dags inside dags are not supported; expected a step",
        ),
        (
            "    - name: train-model",
            "    - name: xyz",
            "f.yaml:33: spec.templates[xyz].name: unknown template 'xyz'; "
            "expected one of deploy-model, evaluate, preprocess, train-model",
        ),
        (
            "name: learning-rate",
            "name: learning_rates",
            f"f.yaml:22: {TASKS}[training].arguments.parameters[learning_rates].name: "
            "step type 'train-model' has no parameter 'learning_rates'; did you mean 'learning-rate'?",
        ),
        (
            "parameters.rate}}",
            "parameters.rat}}",
            f"f.yaml:23: {TASKS}[training].arguments.parameters[learning-rate].value: "
            "{{workflow.parameters.rat}}: no workflow parameter 'rat'; did you mean 'rate'?",
        ),
        (
            "{{workflow.parameters.rate}}",
            "{{rate}}",
            f"f.yaml:23: {TASKS}[training].arguments.parameters[learning-rate].value: column 3: found 'rate'; "
            "expected tasks.NAME.outputs.parameters.NAME, workflow.parameters.NAME or workflow.name",
        ),
        (
            "value: 4",
            "value: 2",
            f"f.yaml:25: {TASKS}[training].arguments.parameters[gpu-count].value: gpu-count is 2 but the "
            f"template asks for 4 devices ({GPU_LINE}); expected the same number",
        ),
        (
            "value: 4",
            "value: four",
            f"f.yaml:25: {TASKS}[training].arguments.parameters[gpu-count].value: gpu-count is 'four'; "
            "expected a whole number of devices",
        ),
        (
            "value: 4",
            "value: '{{tasks.data.outputs.parameters.digest}}'",
            f"f.yaml:25: {TASKS}[training].arguments.parameters[gpu-count].value: "
            "{{tasks.data.outputs.parameters.digest}} has no value; expected a number that is known before the run",
        ),
        (
            "dependencies: [training]",
            "dependencies: [data]",
            f"f.yaml:26: {TASKS}[evaluation]: step type 'evaluate' needs the parameter 'model-dir'; "
            "expected an argument, or a task before it that outputs it",
        ),
        (
            "parameters.accuracy}} > 0.85",
            "parameters.acuracy}} > 0.85",
            f"f.yaml:32: {TASKS}[deployment].when: {{{{tasks.evaluation.outputs.parameters.acuracy}}}}: "
            "'evaluation' has no output 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            "tasks.evaluation.outputs",
            "tasks.deployment.outputs",
            f"f.yaml:32: {TASKS}[deployment].when: {{{{tasks.deployment.outputs.parameters.accuracy}}}}: "
            "'deployment' does not run before 'deployment'; expected one of data, training, evaluation",
        ),
        (
            "tasks.evaluation.outputs",
            "tasks.evaluatoin.outputs",
            f"f.yaml:32: {TASKS}[deployment].when: {{{{tasks.evaluatoin.outputs.parameters.accuracy}}}}: "
            "no task 'evaluatoin'; did you mean 'evaluation'?",
        ),
        (
            "> 0.85",
            ">> 0.85",
            f"f.yaml:32: {TASKS}[deployment].when: condition at column 51: found '>'; expected a value",
        ),
        (
            "      container:\n",
            "      outputs: {parameters: [{name: los}]}\n      container:\n",
            "f.yaml:34: spec.templates[train-model].outputs.parameters[los].name: "
            "step type 'train-model' has no output 'los'; did you mean 'loss'?",
        ),
        (
            "      container:\n",
            "      inputs: {parameters: [{name: epoch}]}\n      container:\n",
            "f.yaml:34: spec.templates[train-model].inputs.parameters[epoch].name: "
            "step type 'train-model' has no parameter 'epoch'; did you mean 'epochs'?",
        ),
        (
            "      dag:\n",
            "      inputs: {parameters: [{name: a}]}\n      dag:\n",
            "f.yaml:13: spec.templates[steps].inputs: a dag has no inputs here; expected spec.arguments.parameters",
        ),
        (
            "    - name: train-model\n",
            "    - {name: more, dag: {tasks: [{name: a, template: preprocess}]}}\n    - name: train-model\n",
            "f.yaml:33: spec.templates[more].dag: 'more' is a second dag; dags inside dags are not supported; "
            "expected one dag, the entrypoint",
        ),
    ],
)
def test_a_fault_is_told_with_its_line(old: str, new: str, message: str) -> None:
    assert faults(broken(WORKFLOW, old, new))[0] == message


def test_two_equally_near_sources_must_be_told_apart() -> None:
    text = dag(
        "{name: a, template: preprocess}",
        "{name: b, template: preprocess}",
        "{name: t, template: train-model, dependencies: [b, a]}",
    )
    message = "'dataset-dir' could come from a or b; expected arguments that say which"
    assert faults(text) == [f"f.yaml:10: spec.templates[d].dag.tasks[t]: {message}"]


def test_a_required_parameter_must_be_given() -> None:
    message = "step type 'own' needs the parameter 'gpu-count'; expected an argument"
    assert faults(dag("{name: a, template: own}"), OWN) == [f"f.yaml:8: spec.templates[d].dag.tasks[a]: {message}"]


def test_a_bad_default_of_a_step_type_is_a_fault_of_the_task_that_uses_it() -> None:
    table = {"own": StepType("own", "steps:own", (Parameter("gpu-count", "many"),))}
    message = "gpu-count is 'many'; expected a whole number of devices"
    assert faults(dag("{name: a, template: own}"), table) == [
        f"f.yaml:8: spec.templates[d].dag.tasks[a].template: {message}"
    ]


COUNT = "a whole number, 1 or more"
LABEL = "a name of at most 63 lower-case letters, digits and dashes, not starting or ending with a dash"


def deploying(name: str, value: str) -> str:
    given = f"{{name: model-dir, value: /m}}, {{name: run-id, value: r}}, {{name: {name}, value: {value!r}}}"
    return dag("{name: t, template: deploy-model, arguments: {parameters: [\n" + given + "]}}")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("replicas", "two", COUNT),
        ("replicas", "0", COUNT),
        ("replicas", "-1", COUNT),
        ("replicas", "1.5", COUNT),
        ("replicas", "²", COUNT),
        ("max-model-len", "long", COUNT),
        ("max-model-len", "0", COUNT),
        ("model-name", "My_Model", LABEL),
        ("model-name", "", LABEL),
        ("model-name", "a" * 64, LABEL),
    ],
)
def test_an_argument_of_the_wrong_form_is_refused_at_its_line(name: str, value: str, expected: str) -> None:
    path = f"spec.templates[d].dag.tasks[t].arguments.parameters[{name}].value"
    assert faults(deploying(name, value)) == [f"f.yaml:9: {path}: '{name}' is {value!r}; expected {expected}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("replicas", "2"), ("max-model-len", "4096"), ("model-name", "my-model-1"), ("model-name", "{{workflow.name}}")],
)
def test_an_argument_of_the_right_form_passes(name: str, value: str) -> None:
    assert faults(deploying(name, value)) == []

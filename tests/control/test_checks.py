"""What is refused before it is wanted: steps, classes and devices that do not exist."""

from __future__ import annotations

import pytest

from control.checks import Surroundings, asks_of, check_documents
from control.pipeline.templates import BUILTIN
from control.specs.document import Document
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.router.world import deployment
from tests.control.scheduler.world import node
from tests.control.specs.samples import broken
from tests.fakes.plane import WORKFLOW

GIB = 1 << 30
CLASSES = ("batch-scoring", "critical-inference", "training")
WORKLOAD = """\
apiVersion: biplane/v1
kind: Workload
metadata:
  name: mine
spec:
  type: training
  devices: 3
  memory: 4Gi
  device_memory: 40Gi
"""


def documents(text: str) -> list[Document]:
    return load_text(text, "mine.yaml")


def around(*nodes: int, started: bool = False) -> Surroundings:
    known = tuple(node(f"n{index}", count) for index, count in enumerate(nodes))
    return Surroundings(started, BUILTIN, known, CLASSES)


def refused(text: str, surroundings: Surroundings) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check_documents(documents(text), surroundings)
    return [str(problem) for problem in caught.value.problems]


def test_every_ask_is_found_with_the_place_that_says_it() -> None:
    (workload,) = asks_of(documents(WORKLOAD)[0], BUILTIN)
    assert workload.path == ("spec", "devices")
    assert (workload.workload.devices, workload.workload.memory, workload.workload.device_memory) == (
        3,
        4 * GIB,
        40 * GIB,
    )
    (replicas,) = asks_of(documents(deployment(replicas=3, devices=2))[0], BUILTIN)
    assert replicas.workload.devices == 6
    (task,) = asks_of(documents(WORKFLOW)[0], BUILTIN)
    assert task.workload.devices == 2


def test_what_fits_somewhere_passes_without_a_word() -> None:
    assert check_documents(documents(WORKLOAD), around(1, 4)) == ()


def test_what_fits_nowhere_is_refused_with_each_node_s_reason() -> None:
    (problem,) = refused(WORKLOAD, around(1, 2))
    assert problem == (
        "mine.yaml:7: spec.devices: 3 device(s) and 4 GiB of memory can never be had: n0 has 1 H100 with 40 GiB,"
        " 3 are asked for; n1 has 2 H100 with 40 GiB, 3 are asked for"
    )


def test_a_task_that_fits_nowhere_is_refused_at_its_line() -> None:
    (problem,) = refused(WORKFLOW, around(1))
    line = WORKFLOW.splitlines().index("          - name: training") + 1
    assert problem.startswith(f"mine.yaml:{line}: ")


def test_without_a_node_the_largest_ask_is_a_warning() -> None:
    (warning,) = check_documents(documents(deployment(replicas=4)), around())
    assert "4 device(s)" in str(warning)


@pytest.mark.parametrize(("started", "why"), [(False, "no plane was started here"), (True, "no node has joined yet")])
def test_the_warning_says_whether_the_plane_or_its_node_is_missing(started: bool, why: str) -> None:
    (warning,) = check_documents(documents(WORKLOAD), around(started=started))
    assert f": {why}: nothing says whether" in str(warning)


def test_an_argument_that_its_step_refuses_until_later_is_a_warning_at_its_line() -> None:
    arguments = "            arguments: {parameters: [{name: dataset, value: 's3://data/train.jsonl'}]}\n"
    text = broken(WORKFLOW, "            template: preprocess\n", "            template: preprocess\n" + arguments)
    (warning,) = check_documents(documents(text), around(4))
    line = text.splitlines().index(arguments.rstrip("\n")) + 1
    assert str(warning).startswith(f"mine.yaml:{line}: ")
    assert "'s3://data/train.jsonl' waits for the operation issue; until then the step refuses it" in str(warning)


def test_an_unknown_class_is_refused_with_the_nearest() -> None:
    (problem,) = refused(WORKLOAD + "  priority_class: trainin\n", around(4))
    assert problem == (
        "mine.yaml:10: spec.priority_class: there is no priority class 'trainin'; did you mean 'training'?"
    )


def test_a_class_and_a_step_that_come_with_the_same_file_are_known() -> None:
    policy = """\
---
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: policy}
spec: {scheduling: {preemption: {priorities: [{name: night, priority: 1}]}}}
---
apiVersion: biplane/v1
kind: StepTemplate
metadata: {name: clean}
spec: {entrypoint: "my_steps:clean"}
"""
    both = documents(WORKLOAD + "  priority_class: night\n" + policy)
    found = Surroundings.of(both, (), started=False)
    assert "night" in found.priorities
    assert "clean" in found.steps
    assert len(check_documents(both, found)) == 1


def test_everything_wrong_is_told_at_once() -> None:
    problems = refused(WORKLOAD + "---\n" + deployment(devices=9) + "---\n" + WORKFLOW, around(1))
    assert len(problems) == 3

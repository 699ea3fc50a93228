"""What is refused before it is wanted: steps, classes and devices that do not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.checks import Surroundings, asks_of, check_documents
from control.kernel.store import Object
from control.pipeline.templates import BUILTIN
from control.scheduler.state import Queue, Rules, Sharing
from control.specs.document import Document
from control.specs.load import load_text
from control.specs.problem import SpecError
from tests.control.router.world import deployment
from tests.control.scheduler.world import node
from tests.control.specs.samples import TIME_SLICING, broken
from tests.fakes.plane import WORKFLOW

GIB = 1 << 30
CLASSES = {"batch-scoring": 10, "critical-inference": 100, "training": 50}
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


NOT_SHARED, SHARED = Sharing(), Sharing(4)


def around(*nodes: int, started: bool = False, sharing: Sharing = NOT_SHARED) -> Surroundings:
    known = tuple(node(f"n{index}", count) for index, count in enumerate(nodes))
    return Surroundings(started, BUILTIN, known, Rules(CLASSES, sharing=sharing))


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
    (problem,) = refused(WORKLOAD + "  span: node\n", around(1, 2))
    assert problem == (
        "mine.yaml:7: spec.devices: 3 device(s) and 4 GiB of memory can never be had: n0 has 1 H100 with 40 GiB,"
        " 3 are asked for; n1 has 2 H100 with 40 GiB, 3 are asked for"
    )


def test_a_gang_needs_only_that_all_nodes_together_suffice() -> None:
    assert check_documents(documents(WORKLOAD), around(1, 2)) == ()
    (problem,) = refused(WORKLOAD, around(1, 1))
    assert problem.endswith("can never be had: the cluster has 2 devices for it, 3 are asked for")


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
    assert "night" in found.rules.priorities
    assert "clean" in found.steps
    assert len(check_documents(both, found)) == 1


def test_everything_wrong_is_told_at_once() -> None:
    problems = refused(WORKLOAD + "---\n" + deployment(devices=9) + "---\n" + WORKFLOW, around(1))
    assert len(problems) == 3


INFERENCE = """\
apiVersion: biplane/v1
kind: Workload
metadata: {name: chat}
spec:
  type: inference
"""


def test_a_share_needs_a_policy_that_opens_devices_to_sharing() -> None:
    share = INFERENCE + "  share: 0.5\n  device_memory: 8Gi\n"
    assert check_documents(documents(share), around(1, sharing=SHARED)) == ()
    assert refused(share, around(1)) == [
        "mine.yaml:6: spec.share: 1 share(s) of 0.5 and 0 GiB of memory, but devices are not shared here; expected"
        " whole devices, or a ClusterPolicy whose devicePlugin.config has a default"
    ]


@pytest.mark.parametrize("kind", ["training", "batch"])
def test_a_share_is_for_inference_unless_the_sharing_configuration_says_otherwise(kind: str) -> None:
    share = INFERENCE.replace("inference", kind) + "  share: 0.5\n  device_memory: 8Gi\n"
    (problem,) = refused(share, around(1, sharing=SHARED))
    assert f"for {kind}: shared devices are for inference; expected whole devices, or timeSlicing with" in problem
    assert check_documents(documents(share), around(1, sharing=Sharing(4, training=True))) == ()


def test_a_model_that_no_node_has_is_refused_with_the_nearest() -> None:
    (problem,) = refused(INFERENCE + "  gpu_models: [H1000]\n", around(1))
    assert problem.startswith("mine.yaml:6: spec.gpu_models[0]: 1 device(s)")
    assert problem.endswith("did you mean 'H100'?")


def test_a_label_of_a_workflow_must_name_a_class_and_a_queue_that_exist() -> None:
    labels = "metadata:\n  labels: {biplane.io/queue: research, biplane.io/priority-class: trainin}\n"
    problems = refused(WORKFLOW.replace("metadata:\n", labels), around(4))
    assert len(problems) == 2
    assert "there is no priority class 'trainin'; did you mean 'training'?" in problems[0] + problems[1]
    assert "there is no queue 'research'; expected no queue: there is none" in problems[0] + problems[1]


def queue(name: str, quota: int = 0, parent: str = "") -> str:
    text = f"apiVersion: biplane/v1\nkind: Queue\nmetadata: {{name: {name}}}\nspec:\n  quota: {quota}\n"
    return text + (f"  parent: {parent}\n" if parent else "")


def stored(*texts: str) -> tuple[Object, ...]:
    return tuple(
        Object(
            uid=one.name,
            kind=one.kind,
            name=one.name,
            generation=1,
            revision=1,
            spec=one.spec.model_dump(mode="json"),
            status={},
            created_at=0.0,
            updated_at=0.0,
        )
        for text in texts
        for one in documents(text)
    )


def checked(*texts: str, before: tuple[Object, ...] = ()) -> list[str]:
    """What is wrong, or else what is to be known, when these are written where `before` is stored already."""
    written = documents("---\n".join(texts))
    try:
        return [str(one) for one in check_documents(written, Surroundings.of(written, before, started=True))]
    except SpecError as error:
        return [str(one) for one in error.problems]


def test_a_circle_of_queues_is_told_once_with_its_way_round() -> None:
    assert checked(queue("a", 1, "c"), queue("b", 1, "a"), queue("c", 1, "b")) == [
        "mine.yaml:6: spec.parent: the queues are each other's parents: a → c → b → a; expected a tree"
    ]


def test_a_circle_that_is_closed_through_a_stored_queue_is_found() -> None:
    before = stored(queue("a", 1), queue("b", 1, "a"))
    (problem,) = checked(queue("a", 1, "b"), before=before)
    assert "a → b → a" in problem
    assert checked(queue("a", 1, "a"), before=before) == [
        "mine.yaml:6: spec.parent: the queues are each other's parents: a → a; expected a tree"
    ]


def test_a_parent_that_does_not_exist_is_refused_with_the_nearest() -> None:
    assert checked(queue("a", 1, "rot"), before=stored(queue("root", 1))) == [
        "mine.yaml:6: spec.parent: there is no queue 'rot'; did you mean 'root'?"
    ]
    assert checked(queue("a", 1, "root")) == [
        "mine.yaml:6: spec.parent: there is no queue 'root'; expected no parent: there is no other queue"
    ]


def test_children_with_more_than_their_parent_are_refused_where_somebody_wrote_it() -> None:
    root, a, b = queue("root", 8), queue("a", 6, "root"), queue("b", 4, "root")
    wrong = "a, b have 10 devices together, their parent root has 8; expected 8 together at most, or 10 for root"
    assert checked(root, a, b) == [f"mine.yaml:5: spec.quota: {wrong}"]
    assert checked(b, before=stored(root, a)) == [f"mine.yaml:5: spec.quota: {wrong}"]
    assert checked(root, before=stored(a, b)) == [f"mine.yaml:5: spec.quota: {wrong}"]
    assert "spec.quota: no node" in checked(a, before=stored(root))[0]


def test_queues_that_stand_too_deep_are_refused() -> None:
    chain = [queue("q0", 1), *(queue(f"q{n}", 1, f"q{n - 1}") for n in range(1, 18))]
    (problem,) = checked(*chain)
    assert "17 queues stand above this one; expected 16 at most" in problem


def test_a_very_long_chain_of_queues_is_refused_and_breaks_nothing() -> None:
    around_them = Surroundings(True, BUILTIN, (), Rules(CLASSES))
    links = tuple(Queue(f"q{n}", f"q{n - 1}" if n else "", quota=1) for n in range(1500))
    (last,) = documents(queue("q1499", 1, "q1498"))
    with pytest.raises(SpecError, match="1499 queues stand above this one"):
        check_documents([last], replace(around_them, rules=Rules(CLASSES, queues=links)))


def test_a_quota_above_the_cluster_is_refused_and_too_many_promises_are_a_warning() -> None:
    def told(text: str) -> list[str]:
        written = documents(text)
        found = replace(Surroundings.of(written, (), started=True), nodes=(node("n0", 4), node("n1", 4)))
        try:
            return [str(one) for one in check_documents(written, found)]
        except SpecError as error:
            return [str(one) for one in error.problems]

    assert told(queue("a", 8)) == []
    assert told(queue("a", 9)) == [
        "mine.yaml:5: spec.quota: a quota of 9 devices, the cluster has 8; expected at most 8"
    ]
    assert told(queue("a", 5) + "---\n" + queue("b", 5)) == [
        "mine.yaml:5: spec.quota: the quotas of a, b promise 10 devices together, the cluster has 8",
        "mine.yaml:11: spec.quota: the quotas of a, b promise 10 devices together, the cluster has 8",
    ]


def test_a_queue_without_any_node_is_a_warning() -> None:
    assert checked(queue("a", 8)) == [
        "mine.yaml:5: spec.quota: no node has joined yet: nothing says whether 8 devices exist"
    ]


def test_a_workload_whose_queue_does_not_exist_or_never_has_enough_is_refused() -> None:
    before = stored(queue("research", 2))
    assert checked(INFERENCE + "  queue: reserch\n", before=before) == [
        "mine.yaml:6: spec.queue: there is no queue 'reserch'; did you mean 'research'?"
    ]
    assert checked(WORKLOAD + "  queue: research\n", before=before) == [
        "mine.yaml:7: spec.devices: queue research uses 0 of its 2 devices, 3 more are asked for, but it can never have"
        " more than 2: it has no cohort to borrow from"
    ]
    assert len(checked(WORKLOAD + "  queue: research\n  least: 2\n", before=before)) == 1  # only that no node is known


POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: policy}
spec: {devicePlugin: {config: {name: slicing, default: sharin}}}
"""


def test_a_policy_s_sharing_configuration_must_be_in_its_config_map() -> None:
    assert checked(POLICY, TIME_SLICING) == [
        "mine.yaml:4: spec.devicePlugin.config.default: ConfigMap 'slicing' has no configuration 'sharin'; did you mean"
        " 'sharing'?"
    ]
    assert checked(POLICY.replace("sharin}", "sharing}"), before=stored(TIME_SLICING)) == []


def test_a_policy_whose_config_map_is_not_there_is_told_what_holds_until_it_is() -> None:
    missing = "mine.yaml:4: spec.devicePlugin.config.name: there is no ConfigMap 'slicing' yet: until there is, "
    assert checked(POLICY) == [missing + "4 workloads at most share a device"]
    assert checked(POLICY.replace(", default: sharin", "")) == [missing + "no device is shared"]


def test_what_an_older_plane_wrote_and_nobody_can_read_is_passed_over() -> None:
    (old,) = stored(queue("a", 1))
    assert len(checked(queue("b", 1), before=(replace(old, spec={"what": "is this"}),))) == 1

"""What never happens with files, graphs and conditions, whatever a person writes."""

from __future__ import annotations

import contextlib

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from control.pipeline.compile import graph_of
from control.pipeline.expressions import (
    And,
    Comparison,
    Condition,
    Not,
    Or,
    ParseError,
    RunName,
    TaskOutput,
    Truth,
    Unresolved,
    Value,
    WorkflowParameter,
    evaluate,
    parse,
    parse_value,
    references,
    substitute,
    unparse,
)
from control.pipeline.templates import BUILTIN
from control.specs.audit import audit
from control.specs.document import Document
from control.specs.load import KINDS, load_text
from control.specs.problem import Problem, SpecError
from control.specs.workflow import Workflow
from tests.control.specs import samples

SAMPLES = [text for name, text in vars(samples).items() if name.isupper() and isinstance(text, str)]
FRAGMENTS = ["a", "0.5", "&&", "||", "!", "(", ")", ">", "==", "'", '"', "\\", "{{", "}}", "{{workflow.name}}", " "]

names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
reference = st.one_of(st.builds(TaskOutput, names, names), st.builds(WorkflowParameter, names), st.just(RunName()))
literal = st.text(min_size=1, max_size=6)
value = st.one_of(
    st.builds(lambda text: Value((text,)), literal),
    st.builds(lambda one: Value((one,)), reference),
    st.builds(lambda text, one: Value((text, one)), literal, reference),
    st.just(Value(())),
)
leaf = st.one_of(
    st.builds(Truth, value),
    st.builds(Comparison, value, st.sampled_from(["==", "!=", ">", ">=", "<", "<="]), value),
)
condition = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)))
def test_random_text_parses_or_raises_a_parse_error_inside_it(text: str) -> None:
    for read in (parse, parse_value):
        column = 1
        try:
            node = read(text)
        except ParseError as error:
            column = error.column
        else:
            values = dict.fromkeys((one.key for one in references(node)), "1")
            if isinstance(node, Value):
                substitute(node, values)
            else:
                assert parse(unparse(node)) == node
                with contextlib.suppress(Unresolved):
                    evaluate(node, values)
        assert 1 <= column <= len(text) + 1


@settings(max_examples=60)
@given(condition)
def test_a_condition_written_out_reads_back_the_same(wanted: Condition) -> None:
    assert parse(unparse(wanted)) == wanted


@st.composite
def edges(draw: st.DrawFn) -> dict[str, list[str]]:
    """Task -> dependencies, without a cycle, in any order in the file."""
    count = draw(st.integers(1, 9))
    below = {n: draw(st.lists(st.integers(0, n - 1), max_size=3)) if n else [] for n in range(count)}
    return {f"t{n}": [f"t{before}" for before in below[n]] for n in draw(st.permutations(range(count)))}


@settings(max_examples=60)
@given(edges())
def test_no_task_stands_before_one_it_depends_on(dependencies: dict[str, list[str]]) -> None:
    tasks = [{"name": name, "template": "preprocess", "dependencies": before} for name, before in dependencies.items()]
    templates = [{"name": "d", "dag": {"tasks": tasks}}]
    spec = {"entrypoint": "d", "templates": templates}
    workflow = Workflow.model_validate({"metadata": {"name": "w"}, "spec": spec})
    order = [task.name for task in graph_of(workflow, BUILTIN).tasks]
    assert sorted(order) == sorted(dependencies)
    for name, before in dependencies.items():
        assert all(order.index(one) < order.index(name) for one in before)


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_random_text_is_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(SpecError):
        load_text(text, "f.yaml")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "spec", "metadata", "data", "mig-config", "templates", "nodes", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(
    st.sampled_from([*KINDS, "gateway"]), st.dictionaries(st.sampled_from(["metadata", "spec", "data"]), json_values)
)
def test_random_documents_of_every_kind_are_refused_and_nothing_else(kind: str, body: dict[str, object]) -> None:
    document = {"gateway": body} if kind == "gateway" else {"apiVersion": "v1", "kind": kind, **body}
    if kind != "gateway":
        document["apiVersion"] = KINDS[kind].model_fields["api_version"].default
    with contextlib.suppress(SpecError):
        load_text(yaml.safe_dump(document), "f.yaml")


@settings(max_examples=60)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_right_file_with_one_line_changed_loads_whole_or_is_refused_at_a_line(text: str, data: st.DataObject) -> None:
    lines = text.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    indent = len(lines[place]) - len(lines[place].lstrip())
    lines[place] = " " * indent + data.draw(
        st.sampled_from(["", "- x", "x: 1", "name: a", "- {name: b}", "'", "[", "x"])
    )
    documents: list[Document] = []
    problems: tuple[Problem, ...] = ()
    try:
        documents = load_text("\n".join(lines), "f.yaml")
    except SpecError as error:
        problems = error.problems
    assert documents or problems
    assert all(1 <= problem.line <= len(lines) + 1 for problem in problems)
    for document in documents:
        uses = audit(document)
        assert len({use.path for use in uses}) == len(uses)

"""Conditions and references: what parses, what holds and why, and what is refused at which column."""

from __future__ import annotations

import pytest

from control.pipeline.expressions import (
    And,
    Comparison,
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

ACCURACY = TaskOutput("my-eval", "top-1")
VALUES = {ACCURACY.key: "0.91", "workflow.name": "tune", "workflow.parameters.env": "prod"}


def test_a_comparison_of_an_output_with_a_number_parses() -> None:
    condition = parse("{{tasks.my-eval.outputs.parameters.top-1}} > 0.95")
    assert condition == Comparison(Value((ACCURACY,)), ">", Value(("0.95",)))


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (Truth(Value((name,))) for name in "abc")
    assert parse("a || !b && c") == Or((a, And((Not(b), c))))
    assert parse("(a || b) && c") == And((Or((a, b)), c))


def test_quoted_text_may_hold_references_and_escapes() -> None:
    condition = parse(r"""'{{workflow.name}}-x' == "it\"s\\" """)
    assert condition == Comparison(Value((RunName(), "-x")), "==", Value(('it"s\\',)))


@pytest.mark.parametrize(
    ("text", "holds", "why"),
    [
        ("{{tasks.my-eval.outputs.parameters.top-1}} > 0.95", False, "0.91 > 0.95 is false"),
        ("{{tasks.my-eval.outputs.parameters.top-1}} >= 0.910", True, "0.91 >= 0.910 is true"),
        ("'{{tasks.my-eval.outputs.parameters.top-1}}' < 1e1", True, "0.91 < 1e1 is true"),
        ("10 > 9", True, "10 > 9 is true"),
        ("1.0 == 1", True, "1.0 == 1 is true"),
        ("{{workflow.parameters.env}} == prod", True, "'prod' == 'prod' is true"),
        ("{{workflow.parameters.env}} != 'prod'", False, "'prod' != 'prod' is false"),
        ("1 < 2 && 3 < 2", False, "3 < 2 is false"),
        ("1 < 2 && 2 < 3", True, "1 < 2 is true and 2 < 3 is true"),
        ("1 > 2 || 2 > 3", False, "1 > 2 is false and 2 > 3 is false"),
        ("1 < 2 || a > b", True, "1 < 2 is true"),
        ("!(1 > 2)", True, "not (1 > 2 is false) is true"),
        ("!true", False, "not (the value is true) is false"),
        ("1e-9999 < 1", True, "1e-9999 < 1 is true"),
    ],
)
def test_the_outcome_says_why(text: str, holds: bool, why: str) -> None:
    outcome = evaluate(parse(text), VALUES)
    assert (outcome.holds, outcome.why) == (holds, why)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prod > 3", "'prod' > '3': 'prod' is not a number"),
        ("3 <= nan", "'3' <= 'nan': 'nan' is not a number"),
        ("maybe", "'maybe' is neither true nor false"),
        ("{{workflow.parameters.gone}} == 1", "{{workflow.parameters.gone}} has no value"),
    ],
)
def test_what_has_no_answer_is_unresolved(text: str, message: str) -> None:
    with pytest.raises(Unresolved) as raised:
        evaluate(parse(text), VALUES)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a value"),
        ("a > ", 5, "a value"),
        ("a > > b", 5, "a value"),
        ("a b", 3, "&&, || or the end"),
        ("(a", 3, "&&, || or )"),
        ("a = b", 3, "a value or an operator"),
        ("a & b", 3, "a value or an operator"),
        ("'a", 3, "' to close the quoted text"),
        ("{{workflow.name", 16, "}} to close the reference"),
        ("a == {{steps.x}}", 8, "tasks.NAME.outputs.parameters.NAME, workflow.parameters.NAME or workflow.name"),
        ("__import__('os')", 11, "&&, || or the end"),
        ("!" * 100 + "a", 52, "at most 50 levels of parentheses and negations"),
        ("(" * 5000, 4097, "at most 4096"),
    ],
)
def test_what_does_not_parse_says_where_and_what_was_expected(text: str, column: int, expected: str) -> None:
    with pytest.raises(ParseError) as raised:
        parse(text)
    assert (raised.value.column, raised.value.expected) == (column, expected)


def test_values_are_joined_from_text_and_references() -> None:
    value = parse_value("s3://{{workflow.parameters.env}}/{{workflow.name}}.txt 'q' \\")
    assert list(references(value)) == [WorkflowParameter("env"), RunName()]
    assert substitute(value, VALUES) == "s3://prod/tune.txt 'q' \\"


def test_a_value_substituted_is_not_read_again() -> None:
    assert substitute(parse_value("{{workflow.name}}"), {"workflow.name": "{{workflow.name}}"}) == ("{{workflow.name}}")


def test_a_condition_is_written_back_as_it_was_read() -> None:
    text = "{{tasks.evaluation.outputs.parameters.accuracy}} > 0.85 && !(a == \"b c\" || d != '{')"
    assert parse(unparse(parse(text))) == parse(text)
    assert unparse(parse("{{workflow.name}} > 0.85")) == "{{workflow.name}} > 0.85"

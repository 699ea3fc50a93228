"""The `{{...}}` references in values and the conditions in `when`: a small grammar, nothing is ever eval'ed.

    condition  := all ("||" all)*            all   := unary ("&&" unary)*
    unary      := "!" unary | "(" condition ")" | value [operator value]
    operator   := "==" | "!=" | ">" | ">=" | "<" | "<="
    value      := {{reference}} | number | bare-word | "quoted" | 'quoted, with {{references}}'
    reference  := tasks.T.outputs.parameters.O | workflow.parameters.P | workflow.name

Two values that both read as numbers compare as numbers, whether quoted or not; all else compares as text,
with == and != only. In quotes a backslash keeps the character after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

MAX_LENGTH = 4096
MAX_DEPTH = 50
_REFERENCE = re.compile(
    r"tasks\.(?P<task>[\w-]+)\.outputs\.parameters\.(?P<output>[\w-]+)"
    r"|workflow\.parameters\.(?P<parameter>[\w-]+)|(?P<run>workflow\.name)",
    re.ASCII,
)
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_WORD = re.compile(r"[^\s(){}!=<>&|'\"\\]+")
_OPERATORS = ("==", "!=", ">=", "<=", ">", "<")
_SYMBOLS = ("&&", "||", *_OPERATORS, "!", "(", ")")


class ParseError(ValueError):
    """`column` counts from 1; `expected` says what could have stood there."""

    def __init__(self, column: int, found: str, expected: str) -> None:
        super().__init__(f"column {column}: {found}; expected {expected}")
        self.column, self.found, self.expected = column, found, expected


class Unresolved(ValueError):
    """What parses but has no answer: a missing value, or text where a number is needed."""


@dataclass(frozen=True)
class TaskOutput:
    task: str
    output: str

    @property
    def key(self) -> str:
        return f"tasks.{self.task}.outputs.parameters.{self.output}"


@dataclass(frozen=True)
class WorkflowParameter:
    name: str

    @property
    def key(self) -> str:
        return f"workflow.parameters.{self.name}"


@dataclass(frozen=True)
class RunName:
    @property
    def key(self) -> str:
        return "workflow.name"


Reference = TaskOutput | WorkflowParameter | RunName


@dataclass(frozen=True)
class Value:
    """Texts and references, joined when evaluated. No text is empty, none follows another."""

    parts: tuple[str | Reference, ...]


@dataclass(frozen=True)
class Truth:
    """A value that must be the text true or false."""

    value: Value


@dataclass(frozen=True)
class Comparison:
    left: Value
    operator: str
    right: Value


@dataclass(frozen=True)
class Not:
    operand: Condition


@dataclass(frozen=True)
class And:
    operands: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    operands: tuple[Condition, ...]


Condition = Truth | Comparison | Not | And | Or


@dataclass(frozen=True)
class Outcome:
    """Whether a condition holds and why, as in "0.91 > 0.95 is false"."""

    holds: bool
    why: str


def parse_value(text: str) -> Value:
    """The text of an argument; quotes and backslashes mean themselves. Raises ParseError."""
    parts: list[str | Reference] = []
    at = 0
    while (start := text.find("{{", at)) >= 0:
        if start > at:
            parts.append(text[at:start])
        reference, at = _reference(text, start)
        parts.append(reference)
    if at < len(text):
        parts.append(text[at:])
    return Value(tuple(parts))


def parse(text: str) -> Condition:
    """A `when` condition. Raises ParseError and nothing else."""
    if len(text) > MAX_LENGTH:
        raise ParseError(MAX_LENGTH + 1, f"{len(text)} characters", f"at most {MAX_LENGTH}")
    parser = _Parser(tuple(_tokens(text)), len(text) + 1)
    condition = parser.condition(0)
    parser.end()
    return condition


def references(node: Condition | Value) -> Iterator[Reference]:
    """Every reference in a condition or value, in the order written."""
    match node:
        case Value(parts):
            yield from (part for part in parts if not isinstance(part, str))
        case Truth(value):
            yield from references(value)
        case Comparison(left, _, right):
            yield from references(left)
            yield from references(right)
        case Not(operand):
            yield from references(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from references(operand)


def substitute(value: Value, values: Mapping[str, str]) -> str:
    """The text with each reference replaced by `values[reference.key]`; Unresolved if one is missing."""
    texts = []
    for part in value.parts:
        if not isinstance(part, str) and part.key not in values:
            raise Unresolved(f"{{{{{part.key}}}}} has no value")
        texts.append(part if isinstance(part, str) else values[part.key])
    return "".join(texts)


def evaluate(condition: Condition, values: Mapping[str, str]) -> Outcome:
    """Whether the condition holds; `values` is keyed by `Reference.key`. Stops at the operand that decides.

    Raises Unresolved for a missing value, an ordering of what are not numbers, and a bare value that is
    neither true nor false.
    """
    match condition:
        case Comparison(left, operator, right):
            return _compare(substitute(left, values), operator, substitute(right, values))
        case Truth(value):
            text = substitute(value, values)
            if text not in ("true", "false"):
                raise Unresolved(f"{text!r} is neither true nor false")
            return Outcome(text == "true", f"the value is {text}")
        case Not(operand):
            inner = evaluate(operand, values)
            return Outcome(not inner.holds, f"not ({inner.why}) is {_word(not inner.holds)}")
        case And(operands) | Or(operands):
            decisive = isinstance(condition, Or)
            reasons = []
            for operand in operands:
                outcome = evaluate(operand, values)
                if outcome.holds == decisive:
                    return outcome
                reasons.append(outcome.why)
            return Outcome(not decisive, " and ".join(reasons))


def unparse(condition: Condition) -> str:
    """Text that parses to the same condition."""
    match condition:
        case Truth(value):
            return unparse_value(value)
        case Comparison(left, operator, right):
            return f"{unparse_value(left)} {operator} {unparse_value(right)}"
        case Not(operand):
            return f"!{_grouped(operand)}"
        case And(operands):
            return " && ".join(_grouped(operand) for operand in operands)
        case Or(operands):
            return " || ".join(_grouped(operand) for operand in operands)


def unparse_value(value: Value) -> str:
    """As in a condition: bare where it can be, quoted otherwise."""
    match value.parts:
        case (str(text),) if _WORD.fullmatch(text):
            return text
        case (TaskOutput() | WorkflowParameter() | RunName() as reference,):
            return f"{{{{{reference.key}}}}}"
    texts = [
        re.sub(r"([\\\"{])", r"\\\1", part) if isinstance(part, str) else f"{{{{{part.key}}}}}" for part in value.parts
    ]
    return f'"{"".join(texts)}"'


def _grouped(condition: Condition) -> str:
    return f"({unparse(condition)})" if isinstance(condition, And | Or) else unparse(condition)


def _word(holds: bool) -> str:
    return "true" if holds else "false"


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def _compare(left: str, operator: str, right: str) -> Outcome:
    one, other = _number(left), _number(right)
    numbers = one is not None and other is not None
    if operator in ("==", "!="):
        holds = ((one == other) if numbers else (left == right)) == (operator == "==")
    elif one is None or other is None:
        text = left if one is None else right
        raise Unresolved(f"{left!r} {operator} {right!r}: {text!r} is not a number")
    else:
        holds = {">": one > other, ">=": one >= other, "<": one < other, "<=": one <= other}[operator]
    shown = f"{left} {operator} {right}" if numbers else f"{left!r} {operator} {right!r}"
    return Outcome(holds, f"{shown} is {_word(holds)}")


@dataclass(frozen=True)
class _Token:
    column: int
    item: str | Value
    """A symbol, or a value."""


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        start = at
        symbol = next((symbol for symbol in _SYMBOLS if text.startswith(symbol, at)), None)
        if text[at].isspace():
            at += 1
        elif symbol:
            at += len(symbol)
            yield _Token(start + 1, symbol)
        elif text.startswith("{{", at):
            reference, at = _reference(text, at)
            yield _Token(start + 1, Value((reference,)))
        elif text[at] in "'\"":
            value, at = _quoted(text, at)
            yield _Token(start + 1, value)
        elif word := _WORD.match(text, at):
            at = word.end()
            yield _Token(start + 1, Value((word[0],)))
        else:
            raise ParseError(start + 1, f"found {text[at]!r}", "a value or an operator")


def _reference(text: str, start: int) -> tuple[Reference, int]:
    """The reference whose `{{` is at `start`, and the index after its `}}`."""
    end = text.find("}}", start)
    if end < 0:
        raise ParseError(len(text) + 1, "the text ends", "}} to close the reference")
    inner = text[start + 2 : end].strip()
    match = _REFERENCE.fullmatch(inner)
    if match is None:
        expected = "tasks.NAME.outputs.parameters.NAME, workflow.parameters.NAME or workflow.name"
        raise ParseError(start + 3, f"found {inner!r}", expected)
    if match["run"]:
        return RunName(), end + 2
    if match["parameter"]:
        return WorkflowParameter(match["parameter"]), end + 2
    return TaskOutput(match["task"], match["output"]), end + 2


def _quoted(text: str, start: int) -> tuple[Value, int]:
    """The quoted value that begins at `start`, and the index after its closing quote."""
    parts: list[str | Reference] = []
    literal = ""
    at = start + 1
    while at < len(text) and text[at] != text[start]:
        if text.startswith("{{", at):
            reference, at = _reference(text, at)
            parts += [literal, reference] if literal else [reference]
            literal = ""
        else:
            at += text[at] == "\\"
            literal += text[at : at + 1]
            at += 1
    if at >= len(text):
        raise ParseError(len(text) + 1, "the text ends", f"{text[start]} to close the quoted text")
    return Value(tuple([*parts, literal] if literal else parts)), at + 1


class _Parser:
    """Recursive descent over tokens; `depth` counts parentheses and negations, to bound the recursion."""

    def __init__(self, tokens: tuple[_Token, ...], end: int) -> None:
        self._tokens, self._end, self._at = tokens, end, 0

    def condition(self, depth: int) -> Condition:
        operands = [self._all(depth)]
        while self._take("||"):
            operands.append(self._all(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._error("&&, || or the end")

    def _all(self, depth: int) -> Condition:
        operands = [self._unary(depth)]
        while self._take("&&"):
            operands.append(self._unary(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _unary(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} levels of parentheses and negations")
        if self._take("!"):
            return Not(self._unary(depth + 1))
        if self._take("("):
            inner = self.condition(depth + 1)
            if not self._take(")"):
                raise self._error("&&, || or )")
            return inner
        left = self._value()
        for operator in _OPERATORS:
            if self._take(operator):
                return Comparison(left, operator, self._value())
        return Truth(left)

    def _value(self) -> Value:
        if self._at < len(self._tokens) and isinstance(value := self._tokens[self._at].item, Value):
            self._at += 1
            return value
        raise self._error("a value")

    def _take(self, symbol: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].item == symbol:
            self._at += 1
            return True
        return False

    def _error(self, expected: str) -> ParseError:
        if self._at >= len(self._tokens):
            return ParseError(self._end, "the text ends", expected)
        token = self._tokens[self._at]
        found = token.item if isinstance(token.item, str) else unparse_value(token.item)
        return ParseError(token.column, f"found {found!r}", expected)

"""Regular expressions of people's files: written as Python's, run by RE2, whose time is linear in the text. Pure.

Python's `re` may take minutes over a text that was made for it, and would hold up every request of a gateway meanwhile.
A pattern is parsed as Python does and written anew for RE2, so that both cannot read it differently.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import _constants as ops  # the only parser of Python's own patterns
from re import _parser as parser
from typing import Annotated, Any

import re2
from pydantic import PlainSerializer, PlainValidator

from control.specs.problem import refuse, show

_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
_PLACES = {
    ops.AT_BEGINNING: "^",
    ops.AT_BEGINNING_STRING: r"\A",
    ops.AT_BOUNDARY: r"\b",
    ops.AT_NON_BOUNDARY: r"\B",
    ops.AT_END: "$",
    ops.AT_END_STRING: r"\z",
}
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}
_UNKNOWN = {
    ops.ASSERT: "looks ahead or behind",
    ops.ASSERT_NOT: "looks ahead or behind",
    ops.GROUPREF: "refers back to a group",
    ops.GROUPREF_EXISTS: "depends on a group",
    ops.ATOMIC_GROUP: "has an atomic group",
    ops.POSSESSIVE_REPEAT: "has a possessive repeat",
}


@dataclass(frozen=True)
class Pattern:
    """`text` is as it was written, `whole` for RE2; `beginning` matches every beginning of what `whole` may match, the
    empty one too. `most` is how many characters a match can have, None where there is no limit.
    """

    text: str
    whole: str
    beginning: str
    most: int | None


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """RE2's form of a pattern that it can read. Raises re2.error where it cannot."""
    options = re2.Options()
    options.log_errors = False  # it would write them to stderr itself
    return re2.compile(pattern, options=options)


def parse_pattern(value: object) -> Pattern:
    """Raises PydanticCustomError (a ValueError) that says what of the pattern cannot be used."""
    if isinstance(value, Pattern):
        return value
    if not isinstance(value, str):
        raise refuse(f"found {show(value)}", "a regular expression")
    found = f"pattern {show(value)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sets that a later Python reads differently
            tree = parser.parse(value)
        least, most = tree.getwidth()
        whole, beginning = _flagged(tree.state.flags, _whole(tree)), _flagged(tree.state.flags, _beginning(tree))
        compiled(whole)
        compiled(f"{beginning}\\z")
    except re.error as error:
        raise refuse(f"{found} does not parse: {error}", "a regular expression of Python's") from None
    except (Warning, RecursionError, OverflowError) as error:
        raise refuse(f"{found} cannot be used: {error}", "a plainer regular expression") from None
    except _Unsayable as error:
        expected = "a regular expression that can be matched in linear time"
        raise refuse(f"{found} {error}", expected) from None
    except re2.error as error:
        told = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise refuse(f"{found} cannot be used: {told}", "a smaller regular expression") from None
    if least == 0:
        raise refuse(f"{found} matches where nothing is", "one that matches at least a character")
    return Pattern(value, whole, beginning, None if most >= ops.MAXREPEAT else most)


class _Unsayable(Exception):
    """RE2 has no such thing; the words complete "pattern '…' …"."""


def _whole(items: Iterable[Any]) -> str:
    return "".join(_item(op, value) for op, value in items)


def _item(op: Any, value: Any) -> str:
    if op in _UNKNOWN:
        raise _Unsayable(_UNKNOWN[op])
    if op is ops.AT:
        return _PLACES[value]
    if op is ops.MAX_REPEAT or op is ops.MIN_REPEAT:
        least, most, inner = value
        return _repeated(_whole(inner), least, most) + ("?" if op is ops.MIN_REPEAT else "")
    if op is ops.BRANCH:
        return _either(map(_whole, value[1]))
    if op is ops.SUBPATTERN:
        return _grouped(value, _whole)
    return _character(op, value)


def _beginning(items: Iterable[Any]) -> str:
    """Of a sequence: a beginning of its first item, or all of that and a beginning of the rest."""
    found = ""
    for op, value in reversed(list(items)):
        first = _beginning_of(op, value)
        found = _either((f"{_item(op, value)}{found}", first)) if found else first
    return found


def _beginning_of(op: Any, value: Any) -> str:
    if op is ops.AT:
        return ""  # what comes next may yet make it true
    if op is ops.MAX_REPEAT or op is ops.MIN_REPEAT:
        _, most, inner = value
        last = _beginning(inner)
        if most == 0:
            return ""
        before = most if most is ops.MAXREPEAT else most - 1
        return (_repeated(_whole(inner), 0, before) if before else "") + last
    if op is ops.BRANCH:
        return _either(map(_beginning, value[1]))
    if op is ops.SUBPATTERN:
        return _grouped(value, _beginning)
    return f"(?:{_character(op, value)})?"


def _character(op: Any, value: Any) -> str:
    if op is ops.ANY:
        return "."
    if op is ops.LITERAL:
        return _code(value)
    if op is ops.NOT_LITERAL:
        return f"[^{_code(value)}]"
    if op is ops.IN:
        return f"[{''.join(_member(*member) for member in value)}]"
    raise _Unsayable(f"has {str(op).lower()}, which RE2 does not know")


def _member(op: Any, value: Any) -> str:
    if op is ops.NEGATE:
        return "^"
    if op is ops.RANGE:
        return f"{_code(value[0])}-{_code(value[1])}"
    return _CATEGORIES[value] if op is ops.CATEGORY else _code(value)


def _code(character: int) -> str:
    return rf"\x{{{character:X}}}"


def _grouped(value: Any, written: Callable[[Iterable[Any]], str]) -> str:
    _, on, off, inner = value
    added, removed = _letters(on), _letters(off)
    return f"(?{added}{'-' + removed if removed else ''}:{written(inner)})"


def _repeated(text: str, least: int, most: Any) -> str:
    return f"(?:{text}){{{least},{'' if most is ops.MAXREPEAT else most}}}"


def _either(texts: Iterable[str]) -> str:
    return f"(?:{'|'.join(texts)})"


def _flagged(flags: int, text: str) -> str:
    return f"(?{_letters(flags)}:{text})"


def _letters(flags: int) -> str:
    return "".join(letter for flag, letter in _FLAGS.items() if flags & flag)


def _written(pattern: Pattern) -> str:
    return pattern.text


PatternText = Annotated[Pattern, PlainValidator(parse_pattern), PlainSerializer(_written)]

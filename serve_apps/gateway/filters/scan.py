"""Patterns found in a text that comes in pieces: whatever the pieces, the same as in the whole. Pure.

No more is held back than what may yet become a match: the shortest end of the text that a match may begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from control.specs.pattern import Pattern, compiled

Replace = Callable[[str, str], str]
"""What stands in place of a match, by the name of what was found and its text."""


_BRACKET = ord("]")


@dataclass(frozen=True)
class Wanted:
    """What is looked for, by `name`. `valid` says how many characters of a match count, from its start; 0 for none, as
    with a number whose check digit is wrong: then it is looked for from the next place on.
    """

    name: str
    pattern: Pattern
    valid: Callable[[str], int] = len


class Patterns:
    """Several, of which the one counts that begins first, and of those the first in the list."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.wanted = wanted
        self.each = [compiled(one.pattern.whole) for one in wanted]
        self.any = compiled("|".join(one.pattern.whole for one in wanted))
        self.beginning = compiled(f"(?:{'|'.join(one.pattern.beginning for one in wanted)})\\z")

    def replaced(self, text: str, replace: Replace) -> str:
        """The same text where nothing was found."""
        raw = bytearray(_encoded(text))
        if self.any.search(raw) is None:
            return text
        return _decoded(self.run(raw, 0, replace, last=True)[0])

    def run(self, text: bytearray, at: int, replace: Replace, *, last: bool) -> tuple[bytes, int]:
        """What becomes of the text from `at` on, and up to where: what is behind that needs the next piece.

        Of each match the last byte is overwritten: what comes next stands after the bracket of a placeholder, and
        begins a word there. `4111 1111 1111 1111` right behind an address would be shown otherwise.
        """
        out: list[bytes] = []
        found: list[tuple[int, int] | None] = []
        limit = self._decided(text, at, last)
        if self.any.search(text, at) is not None:
            found = [self._find(index, text, at) for index in range(len(self.wanted))]
        while True:
            found_first = min(((*one, index) for index, one in enumerate(found) if one), key=_begins, default=None)
            if found_first is None or found_first[0] >= limit:
                break
            start, end, index = found_first
            out += bytes(text[at:start]), _encoded(replace(self.wanted[index].name, _decoded(text[start:end])))
            text[end - 1] = _BRACKET
            at = end
            limit = self._decided(text, at, last)
            found = [self._next(other, one, text, at) for other, one in enumerate(found)]
        out.append(bytes(text[at:limit]))
        return b"".join(out), limit

    def _decided(self, text: bytearray, at: int, last: bool) -> int:
        """No match that begins before it can be changed by what comes."""
        beginning: Any = None if last else self.beginning.search(text, at)
        return len(text) if beginning is None else int(beginning.start())

    def _next(self, index: int, known: tuple[int, int] | None, text: bytearray, at: int) -> tuple[int, int] | None:
        """Its first match from `at` on: what was `known` before of what comes later holds, and saves looking again."""
        if (match := self.each[index].match(text, at)) is not None and (end := self._end(index, text, match)):
            return at, end
        return known if known is None or known[0] > at else self._find(index, text, at)

    def _find(self, index: int, text: bytearray, at: int) -> tuple[int, int] | None:
        while (match := self.each[index].search(text, at)) is not None:
            if end := self._end(index, text, match):
                return match.start(), end
            at = match.start() + 1
        return None

    def _end(self, index: int, text: bytearray, match: Any) -> int:
        """Of what counts of a match, 0 for nothing."""
        start, end = match.span()
        told = _decoded(text[start:end])
        count = self.wanted[index].valid(told)
        return start + len(_encoded(told[:count])) if count else 0


class Scan:
    """One text in pieces."""

    def __init__(self, patterns: Patterns, replace: Replace) -> None:
        self._patterns, self._replace = patterns, replace
        self._held, self._at = bytearray(), 0

    def feed(self, text: str) -> str:
        return self._run(_encoded(text), last=False) if text else ""

    def finish(self) -> str:
        return self._run(b"", last=True) if self._at < len(self._held) else ""

    def _run(self, more: bytes, *, last: bool) -> str:
        held = self._held
        held += more
        out, limit = self._patterns.run(held, self._at, self._replace, last=last)
        # The byte before stays: whether a word begins here depends on it.
        kept = max(0, limit - 1)
        del held[:kept]
        self._at = limit - kept
        return _decoded(out)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # models write halves of surrogate pairs


def _begins(found: tuple[int, int, int]) -> tuple[int, int]:
    """The first in the text, and of two the first in the list."""
    return found[0], found[2]


def _decoded(text: bytes | bytearray) -> str:
    return text.decode(errors="surrogatepass")

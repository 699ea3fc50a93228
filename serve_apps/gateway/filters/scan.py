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
        if self.any.search(raw := _encoded(text)) is None:
            return text
        out, _ = self.run(raw, 0, replace, last=True)
        return _decoded(out)

    def run(self, text: bytes, at: int, replace: Replace, *, last: bool) -> tuple[bytes, int]:
        """What becomes of the text from `at` on, and up to where: what is behind that needs the next piece."""
        out: list[bytes] = []
        found: list[tuple[int, int] | None] = []
        limit = self._decided(text, at, last)
        if self.any.search(text, at) is not None:
            found = [self._find(index, text, at) for index in range(len(self.wanted))]
        while True:
            start, index = min(((one[0], index) for index, one in enumerate(found) if one), default=(limit, -1))
            if start >= limit or index < 0:
                break
            end = found[index][1]  # type: ignore[index]  # it is not None: it was just chosen
            out += text[at:start], _encoded(replace(self.wanted[index].name, _decoded(text[start:end])))
            at = end
            if at > limit:
                limit = self._decided(text, at, last)
            for other, one in enumerate(found):
                if one is not None and one[0] < at:
                    found[other] = self._find(other, text, at)
        out.append(text[at:limit])
        return b"".join(out), limit

    def _decided(self, text: bytes, at: int, last: bool) -> int:
        """No match that begins before it can be changed by what comes."""
        beginning: Any = None if last else self.beginning.search(text, at)
        return len(text) if beginning is None else int(beginning.start())

    def _find(self, index: int, text: bytes, at: int) -> tuple[int, int] | None:
        while (match := self.each[index].search(text, at)) is not None:
            start, end = match.span()
            told = _decoded(text[start:end])
            if count := self.wanted[index].valid(told):
                return start, start + len(_encoded(told[:count]))
            at = start + 1
        return None


class Scan:
    """One text in pieces."""

    def __init__(self, patterns: Patterns, replace: Replace) -> None:
        self._patterns, self._replace = patterns, replace
        self._held, self._at = b"", 0

    def feed(self, text: str) -> str:
        return self._run(_encoded(text), last=False) if text else ""

    def finish(self) -> str:
        return self._run(b"", last=True) if self._at < len(self._held) else ""

    def _run(self, more: bytes, *, last: bool) -> str:
        held = self._held + more
        out, limit = self._patterns.run(held, self._at, self._replace, last=last)
        # The byte before stays: whether a word begins here depends on it.
        kept = max(0, limit - 1)
        self._held, self._at = held[kept:], limit - kept
        return _decoded(out)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # models write halves of surrogate pairs


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogatepass")

"""Whether two texts that are near each other ask for the same thing. Pure, but for what `Words` knows.

Vectors are near where only a number, a name or a "not" differs, so being near is not enough. Each rule below refuses;
what no rule refuses is the same. Where in doubt it is not: a miss costs a request, a false hit an untrue answer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from serve_apps.gateway.cache.framing import alike
from serve_apps.gateway.cache.reading import ORDERING, Reading, read

SAME = 0.9
"""From this cosine on a word more on one side, such as "city" after "capital", is taken for a matter of wording."""
PREFIXES = (
    "un",
    "in",
    "im",
    "il",
    "ir",
    "dis",
    "non",
    "de",
    "mis",
    "anti",
    "counter",
    "re",
    "pre",
    "post",
    "sub",
    "over",
)


class Word(Protocol):
    """As `wordnet.Word` describes it."""

    @property
    def lemmas(self) -> frozenset[str]: ...
    @property
    def main(self) -> frozenset[tuple[str, int]]: ...
    @property
    def senses(self) -> frozenset[tuple[str, int]]: ...
    @property
    def opposites(self) -> frozenset[tuple[str, int]]: ...
    @property
    def kin(self) -> frozenset[tuple[str, int]]: ...
    @property
    def named(self) -> bool: ...


Words = Callable[[str], Word]


def same_question(one: str, other: str, similarity: float, words: Words) -> bool:
    return why_not(one, other, similarity, words) == ""


def why_not(one: str, other: str, similarity: float, words: Words) -> str:
    """The first rule that refuses; empty where none does."""
    a, b = read(one), read(other)
    if one.isascii() != other.isascii() or not (a.content and b.content):
        return "language"
    for rule, differs in (
        ("numbers", a.numbers != b.numbers),
        ("literals", a.literals != b.literals),
        ("negation", a.negations != b.negations),
        ("small words", a.relations != b.relations),
        ("kind of question", not alike(a.kind, b.kind)),
        ("marks", not _marks_agree(a.marks, b.marks)),
    ):
        if differs:
            return rule
    return _content(a, b, similarity, words)


def _marks_agree(a: frozenset[str], b: frozenset[str]) -> bool:
    either = a | b
    apart = ({"past", "present"}, {"owner 0", "owner 1"}, {"duty", "leave"})
    return not any(pair <= either for pair in apart) and ("future" in a) == ("future" in b)


def _content(a: Reading, b: Reading, similarity: float, words: Words) -> str:
    pairs, more = {}, list(b.content)
    less = []
    for word in a.content:
        match = word if word in more else next((one for one in more if _synonyms(word, one, a, b, words)), None)
        if match is None:
            less.append(word)
        else:
            more.remove(match)
            pairs[match] = word
    left = [*less, *more]
    if any(_opposite(words(one), words(other)) or _prefixed(one, other) for one in a.content for other in b.content):
        return "opposites"
    if left and (similarity < SAME or (less and more) or any(_weighs(word, a, b, words) for word in left)):
        return f"words: {' '.join(left)}"
    mine = [word for word in a.order if word not in less]
    theirs = [pairs.get(word, word) for word in b.order if word not in more]
    named = {word for word in mine if _is_name(word, a, b, words)}
    return "" if _same_order(mine, theirs, named) else "order"


def _synonyms(one: str, other: str, a: Reading, b: Reading, words: Words) -> bool:
    if one in a.names or other in b.names or not (one.isalpha() and other.isalpha()):
        return _stem(one) == _stem(other)
    first, second = words(one), words(other)
    if first.named or second.named:
        return bool(first.lemmas & second.lemmas)
    return bool(
        first.lemmas & second.lemmas
        or first.main & second.senses
        or second.main & first.senses
        or first.kin & second.main
        or second.kin & first.main
    )


def _stem(name: str) -> str:
    return name.removesuffix("s") if len(name) > 3 else name


def _opposite(one: Word, other: Word) -> bool:
    return bool(one.opposites & other.main or other.opposites & one.main) and not one.lemmas & other.lemmas


def _prefixed(one: str, other: str) -> bool:
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return len(shorter) > 3 and any(longer == prefix + shorter for prefix in PREFIXES)


def _weighs(word: str, a: Reading, b: Reading, words: Words) -> bool:
    """Whether a word that only one side has is more than wording."""
    return word.startswith("#") or _is_name(word, a, b, words)


def _is_name(word: str, a: Reading, b: Reading, words: Words) -> bool:
    """It is written as one, is nothing else, or nobody knows what it is."""
    if word.startswith("#"):
        return False
    return not word.isalpha() or word in a.names | b.names or words(word).named


def _same_order(mine: list[str], theirs: list[str], named: set[str]) -> bool:
    """Whether names and numbers come in the same order, small words stand before the same things ("after Easter"), and
    the other words are in the same order but for one part that may be put before another ("water mint plants", "mint
    plants be watered").
    """
    return (
        [word for word in mine if word in named] == [word for word in theirs if word in named]
        and _objects(mine, theirs)
        and _turned(
            [word for word in mine if word not in named | ORDERING and word[0] != "#"],
            [word for word in theirs if word not in named | ORDERING and word[0] != "#"],
        )
    )


def _objects(mine: list[str], theirs: list[str]) -> bool:
    for small in ORDERING:
        one, other = (
            sorted(after for word, after in pairwise(words) if word == small and after not in ORDERING)
            for words in (mine, theirs)
        )
        if len(one) == len(other) and one != other:
            return False
    return True


def _turned(mine: list[str], theirs: list[str]) -> bool:
    if sorted(mine) != sorted(theirs):
        return False
    while mine and mine[0] == theirs[0]:
        mine, theirs = mine[1:], theirs[1:]
    while mine and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    return not mine or any(mine[cut:] + mine[:cut] == theirs for cut in range(1, len(mine)))

"""Whether two texts that are near each other ask for the same thing. Pure, but for what `Words` knows.

Vectors are near where only a number, a name or a "not" differs, so being near is not enough. Each rule below refuses;
what no rule refuses is the same. Where in doubt it is not: a miss costs a request, a false hit an untrue answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from serve_apps.gateway.cache.framing import Kind, alike
from serve_apps.gateway.cache.language import english
from serve_apps.gateway.cache.order import same_order
from serve_apps.gateway.cache.reading import LEAVE, ORDERING, PARTICLES, Reading, read

SAME = 0.9
"""From this cosine on a word more on one side, such as "city" after "capital", is taken for a matter of wording."""
KIND_OF_FIELD = {"18": {Kind.PERSON}, "14": {Kind.PERSON}, "28": {Kind.TIME}}
"""Persons, groups, times, as WordNet's files are numbered (lexnames(5WN))."""
TURNING = {"it", "owned"}
"""With one of these on one side only ("is it safe to", "its author", "Peru's") the same words come in another order."""
LOCATION, TIME = "15", "28"
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
    def measures(self) -> frozenset[tuple[str, int]]: ...
    @property
    def field(self) -> str: ...
    @property
    def past(self) -> bool: ...
    @property
    def acts(self) -> bool: ...
    @property
    def known(self) -> bool: ...
    @property
    def named(self) -> bool: ...


Words = Callable[[str], Word]


def same_question(one: str, other: str, similarity: float, words: Words) -> bool:
    return why_not(one, other, similarity, words) == ""


def why_not(one: str, other: str, similarity: float, words: Words) -> str:
    """The first rule that refuses; empty where none does."""
    a, b = read(one), read(other)
    if not (a.content and b.content and english(one, words) and english(other, words)):
        return "language"
    for rule, differs in (
        ("numbers", a.numbers != b.numbers),
        ("literals", a.literals != b.literals),
        ("negation", a.negations != b.negations),
        ("small words", a.relations != b.relations),
        ("kind of question", not _alike(a, b, words)),
        ("marks", not _marks_agree(a, b, words)),
    ):
        if differs:
            return rule
    return _content(a, b, similarity, words)


def _alike(a: Reading, b: Reading, words: Words) -> bool:
    return any(alike(one, other) for one in _kinds(a, b, words) for other in _kinds(b, a, words))


def _kinds(one: Reading, other: Reading, words: Words) -> set[Kind]:
    """What `one` may ask for, where its noun says more: "which composer" is "who", "what is the height" "how tall"."""
    kinds = {one.kind}
    if one.kind is Kind.DEGREE and not any(pos in "ar" for pos, _ in words(one.content[0]).main):
        return {Kind.MANNER}  # "how vaccines work"
    if one.kind is Kind.THING:
        for noun in filter(None, (one.asked, one.head)):
            kinds |= KIND_OF_FIELD.get(words(noun).field, set())
        if one.place and words(one.asked).field == LOCATION:
            kinds.add(Kind.PLACE)
    if one.kind in (Kind.THING, Kind.OPEN) and other.kind is Kind.DEGREE and _measure(other, one, words):
        kinds.add(Kind.DEGREE)
    return kinds


def _measure(degree: Reading, thing: Reading, words: Words) -> str:
    """The noun of `thing` for what `degree` asks how much there is of."""
    how = degree.content[0]
    for noun in thing.content:
        if words(how).measures & words(noun).senses or (
            how == "long" and (noun == "time" or words(noun).field == TIME)
        ):
            return noun
    return ""


def _marks_agree(a: Reading, b: Reading, words: Words) -> bool:
    one, other = (
        {*each.marks} - ({"present"} if each.head and words(each.head).field == TIME else set()) for each in (a, b)
    )
    strict = {"future"}
    if a.kind not in (Kind.MANNER, Kind.OPEN, Kind.DEGREE):
        strict |= {"needs"}
    if a.kind is Kind.POLAR:
        strict |= {"duty", "leave"}
    apart = ({"past", "present"}, {"owner 0", "owner 1"}, {"duty", "leave"})
    return not any(pair <= one | other for pair in apart) and not strict & (one ^ other)


def _content(a: Reading, b: Reading, similarity: float, words: Words) -> str:
    near = similarity >= SAME
    pairs: dict[str, str] = {}
    less, more = list[str](), sorted(b.content, key=lambda word: word in (b.asked, b.head))
    for word in sorted(a.content, key=lambda word: (word not in more, word in (a.asked, a.head))):
        match = word if word in more else next((one for one in more if _synonyms(word, one, a, b, words)), None)
        if match is None:
            less.append(word)
        else:
            more.remove(match)
            pairs[match] = word
    for degree, thing, ours, theirs in ((a, b, less, more), (b, a, more, less)):
        measure = _measure(degree, thing, words) if degree.kind is Kind.DEGREE is not thing.kind else ""
        if measure in theirs and degree.content[0] in ours:
            theirs.remove(measure)
            ours.remove(degree.content[0])
    if any(_opposite(words(one), words(other)) or _prefixed(one, other) for one in a.content for other in b.content):
        return "opposites"
    left, side, against = (less, a, b) if less else (more, b, a)
    if (less and more) or any(_weighs(word, side, against, left, near, words) for word in left):
        return f"words: {' '.join([*less, *more])}"
    shared = set(pairs.values())
    mine = [word for word in a.order if word in shared or word in ORDERING]
    yours = [pairs.get(word, word) for word in b.order if word in pairs or word in ORDERING]
    named = {word for word in mine if _is_name(word, a, b, words)}
    acts = {word for other, word in pairs.items() if words(word).acts or words(other).acts}
    asked = not (a.asked in shared and b.asked in pairs) or a.asked == pairs[b.asked]
    turned = _passive(a, words) != _passive(b, words)
    turns = turned or bool(TURNING & (a.marks ^ b.marks))
    first = {next(word for word in order if word in shared and word != a.asked) in named for order in (mine, yours)}
    thing = {a.kind, b.kind} <= {Kind.PERSON, Kind.THING}
    doing = any(words(word).acts and words(other).acts for other, word in pairs.items())
    swapped = acts and not turned and ("object" in a.marks) != ("object" in b.marks)
    if not asked or (thing and (swapped or (doing and not turns and len(first) == 2))):
        return "order"
    counted = all(
        not (a.counted[number] and things) or a.counted[number] & {pairs.get(thing, thing) for thing in things}
        for number, things in b.counted.items()
    )
    return "" if same_order(mine, yours, named, acts, turns, counted) else "order"


def _passive(one: Reading, words: Words) -> bool:
    return "passive" in one.marks and any(words(word).past for word in one.content)


def _synonyms(one: str, other: str, a: Reading, b: Reading, words: Words) -> bool:
    if one in a.names or other in b.names or not (one.isalpha() and other.isalpha()):
        return _stem(one) == _stem(other)
    first, second = words(one), words(other)
    particle = a.beside[one][1]
    if particle in PARTICLES and particle == b.beside[other][1] and (first.acts or second.acts):
        first, second = words(f"{one}_{particle}"), words(f"{other}_{particle}")
        return bool(first.senses & second.senses)
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


def _weighs(word: str, side: Reading, other: Reading, left: list[str], near: bool, words: Words) -> bool:
    """Whether a word that only `side` has is more than wording. It is wording where it says what is asked for, or which
    thing one goes by the name before it ("capital city", "Gmail account").
    """
    if word in LEAVE and "leave" in other.marks:
        return False
    if word.startswith("#") or _is_name(word, side, other, words):
        return True
    if side.kind is not other.kind and other.kind in KIND_OF_FIELD.get(words(word).field, ()):
        return word not in (side.asked, side.head)
    if not near:
        return True
    if word == side.asked or (side.kind is not other.kind and word in (side.head, side.content[0])):
        return False
    before, after = side.beside[word]
    return before not in side.content or before in left or (after in side.content and after not in left)


def _is_name(word: str, a: Reading, b: Reading, words: Words) -> bool:
    """It is written as one, is nothing else, or nobody knows what it is."""
    if word.startswith("#") or word in ORDERING:
        return False
    return not word.isalpha() or word in a.names | b.names or words(word).named

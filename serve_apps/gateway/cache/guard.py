"""Whether two texts that are near each other ask for the same thing. Pure, but for what `Words` knows.

Vectors are near where only a number, a name or a "not" differs, so being near is not enough. Each rule below refuses;
what no rule refuses is the same. Where in doubt it is not: a miss costs a request, a false hit an untrue answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve_apps.gateway.cache.framing import Kind
from serve_apps.gateway.cache.kinds import KIND_OF_FIELD, TIME, agree, measure_of
from serve_apps.gateway.cache.language import english
from serve_apps.gateway.cache.order import same_order
from serve_apps.gateway.cache.reading import LEAVE, ORDERING, PARTICLES, Reading, read
from serve_apps.gateway.cache.words import Word, Words

SAME = 0.9
"""From this cosine on a word more on one side, such as "city" after "capital", is taken for a matter of wording."""
TURNING = {"it", "owned"}
"""With one of these on one side only ("is it safe to", "its author", "Peru's") the same words come in another order."""
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
        ("kind of question", not agree(a, b, words)),
        ("marks", not _marks_agree(a, b, words)),
    ):
        if differs:
            return rule
    return _content(a, b, similarity, words)


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
        measure = measure_of(degree, thing, words) if degree.kind is Kind.DEGREE is not thing.kind else ""
        if measure in theirs and degree.content[0] in ours:
            theirs.remove(measure)
            ours.remove(degree.content[0])
    if any(_opposite(words(one), words(other)) or _prefixed(one, other) for one in a.content for other in b.content):
        return "opposites"
    left, side, against = (less, a, b) if less else (more, b, a)
    if (less and more) or any(_weighs(word, side, against, left, near, words) for word in left):
        return f"words: {' '.join([*less, *more])}"
    return "" if _roles_agree(a, b, pairs, words) else "order"


def _roles_agree(a: Reading, b: Reading, pairs: Mapping[str, str], words: Words) -> bool:
    """Whether who does what, and what is counted, is the same; `pairs` has the words of `b` with those of `a`."""
    shared = set(pairs.values())
    mine = [word for word in a.order if word in shared or word in ORDERING]
    yours = [pairs.get(word, word) for word in b.order if word in pairs or word in ORDERING]
    named = {word for word in mine if _is_name(word, a, b, words)}
    if a.asked in shared and b.asked in pairs and a.asked != pairs[b.asked]:
        return False
    acts = {word for other, word in pairs.items() if words(word).acts or words(other).acts}
    turned = _passive(a, words) != _passive(b, words)
    turns = turned or bool(TURNING & (a.marks ^ b.marks))
    if {a.kind, b.kind} <= {Kind.PERSON, Kind.THING}:
        if acts and not turned and "object" in a.marks ^ b.marks:
            return False
        first = {next((word for word in order if word in shared and word != a.asked), "") for order in (mine, yours)}
        both = any(words(word).acts and words(other).acts for other, word in pairs.items())
        if both and not turns and len({word in named for word in first}) == 2:
            return False
    counted = all(
        not (a.counted[number] and things) or a.counted[number] & {pairs.get(thing, thing) for thing in things}
        for number, things in b.counted.items()
    )
    return same_order(mine, yours, named, acts, turns, counted)


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

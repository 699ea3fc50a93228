"""What a question is made of, so that two can be compared piece by piece. English, others as mere words. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from serve_apps.gateway.cache.framing import Kind, core, kind_of
from serve_apps.gateway.cache.numerals import joined

TEXTS = 4096
"""Readings of so many texts are remembered."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS = _set(
    "not no never none nothing nobody nowhere neither nor without cannot hardly barely unable lack lacks lacking "
    "fail fails failed except excluding cant dont doesnt didnt isnt arent wont wasnt werent shouldnt couldnt "
    "wouldnt hasnt havent aint "
)
_RELATED = (
    "before, after, than, over, above, under, below, versus vs, against, until till, since, or, unless, off, "
    "out, down, up, away, back, inside, outside, instead, only, all every each always, both, some sometimes, "
    "most, more, less fewer, least, same, other another, he him his, she her hers, they them their theirs, "
    "still, again, too, even, almost, future, through, across, along, around, into"
)
RELATIONS = {word: words.split()[0] for words in _RELATED.split(",") for word in words.split()}
"""Small words that turn a question into another one; those in one list mean the same."""
ORDERING = _set("from to before after than over above under below versus against into by until or instead ")
"""Between two things these say which is which."""
EMPTY = _set(
    "a an the of in on at for to by with as from about regarding and i me my mine we us our you your yours it its "
    "this that these those there here is are am be been being was were do does did done doing have has had having "
    "'s get got how what which who whom whose when where why if whether so just also actually really currently "
    "please must should can could would will shall may might ought need able possible way ways like thing things "
    "kind kinds type types use used using one's then very any many much such 'd 'm 're 've 'll go going someone "
    "somebody one "
)
PAST, PRESENT = _set("was were did had"), _set("is are am do does has")
FUTURE = _set("will shall gonna 'll")
DUTY, LEAVE = _set("should must ought need"), _set("can could may might able possible")
OWNERS = ({"my", "mine", "our", "me", "i", "we"}, {"your", "yours"})
_TOKEN = re.compile(
    r"```.*?```|`[^`]+`|\"[^\"]+\"|“[^”]+”|\w+(?:[./:@\\_#+=*<>~^&|$-]+\w+)+|[$€£¥]\d[\d,]*(?:\.\d+)?|"
    r"[+-]?\d[\d,]*(?:\.\d+)?(?:[a-z°]+\b|%)?|\w+(?:'\w+)?[+#]*|[^\w\s,.;:!?()'\"-]+",
    re.DOTALL,
)
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_GENITIVE = re.compile(r"\b(?!how|kind|sort|type|out|because|instead)([a-z]+) of (?:the |a |an |my )?([a-z]+)\b")


@dataclass(frozen=True, slots=True)
class Reading:
    """`content` has the words that carry meaning, in order; of them `names` are written as names, `literals` must be
    the same to the letter. `order` has the content with the small words that order it. `marks` are tense and duty.
    """

    kind: Kind
    content: tuple[str, ...]
    order: tuple[str, ...]
    names: frozenset[str]
    literals: tuple[str, ...]
    numbers: tuple[str, ...]
    negations: int
    relations: tuple[str, ...]
    marks: frozenset[str]


@lru_cache(TEXTS)
def read(text: str) -> Reading:
    plain = core(text)
    kind = kind_of(plain)
    words = list(joined(list(_words(_GENITIVE.sub(r"\2 \1", plain)))))
    content = [word for word in words if _carries(word)]
    return Reading(
        kind,
        tuple(content),
        tuple(word for word in words if _carries(word) or word in ORDERING),
        _names(text),
        tuple(sorted(word for word in content if not word.isalpha() and not word.startswith("#"))),
        tuple(word for word in words if word.startswith("#")),
        sum(word in NEGATIONS for word in words),
        tuple(sorted(RELATIONS[word] for word in words if word in RELATIONS)),
        frozenset(_marks(set(words), kind)),
    )


def _words(plain: str) -> list[str]:
    found: list[str] = []
    for token in _TOKEN.findall(plain):
        if token[0] in _CURRENCIES:
            found += [token[1:], _CURRENCIES[token[0]]]
        elif token.endswith("n't"):
            found += [token.removesuffix("n't"), "not"]
        elif token.endswith("%"):
            found += [token[:-1], "percent"]
        elif "'" in token and token.replace("'", "").isalnum():
            word, _, ending = token.partition("'")
            found += [word, f"'{ending}"]
        elif re.fullmatch(r"[a-z]+(?:-[a-z]+)+", token):
            found += token.split("-")
        else:
            found.append(token)
    return found


def _carries(word: str) -> bool:
    return word not in EMPTY and word not in NEGATIONS and word not in RELATIONS and not word.startswith("'")


def _names(text: str) -> frozenset[str]:
    """Words with a capital that does not just begin a sentence; in lower case."""
    found = re.finditer(r"(?:(^|[.!?:]\s+|\n\s*)[\"'(]*)?\b([^\W\d_]\w*)", text)
    return frozenset(
        word[2].lower()
        for word in found
        if any(map(str.isupper, word[2][1:])) or (word[1] is None and word[2][0].isupper() and word[2] != "I")
    )


def _marks(words: set[str], kind: Kind) -> set[str]:
    marks = set()
    if words & PAST:
        marks.add("past")
    elif words & PRESENT:
        marks.add("present")
    if words & FUTURE:
        marks.add("future")
    if kind is Kind.POLAR:
        marks |= {"duty"} if words & DUTY else set()
        marks |= {"leave"} if words & LEAVE else set()
    marks |= {f"owner {index}" for index, owners in enumerate(OWNERS) if words & owners}
    return marks

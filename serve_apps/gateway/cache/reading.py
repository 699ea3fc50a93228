"""What a question is made of, so that two can be compared piece by piece. English, others as mere words. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile

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
    "somebody one needs needed require requires required necessary between "
)
ASKING = _set("what who where when how it that there here he she")
PAST, PRESENT = _set("was were did had"), _set("is are am do does has")
FUTURE = _set("will shall gonna 'll")
NEEDS = _set("need needs needed require requires required necessary")
DUTY = _set("should must ought") | NEEDS
LEAVE = _set("can could may might able possible ok okay safe allowed permitted")
PARTICLES = _set("on off out in up down away back over")
"""With one of these a verb is another one."""
BE = _set("is are was were be been being get gets got need needs")
"""Before a participle these make a passive."""
OWNERS = ({"my", "mine", "our", "me", "i", "we"}, {"your", "yours"})
_TOKEN = re.compile(
    r"```.*?```|`[^`]+`|\"[^\"]+\"|“[^”]+”|\w+(?:[./:@\\_#+=*<>~^&|$-]+\w+)+|[$€£¥]\d[\d,]*(?:\.\d+)?|"
    r"[+-]?\d[\d,]*(?:\.\d+)?(?:[a-z°]+\b|%)?|\w+(?:'\w+)?[+#]*|[^\w\s,.;:!?()'\"-]+",
    re.DOTALL,
)
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_ASKED = re.compile(
    r"\b(in |at )?(?:what|which|how many) (?!(?:is|are|was|were|do|does|did|can|will|should|price)\b)([a-z]+)\b"
)
_OBJECT = re.compile(r"(?:in |at |on )?(?:who|whom|what|(?:which|what) \w+)(?: 's| s)? (?:do|does|did)\b")
"""Of "who did Brutus kill" the beginning, unlike that of "who killed Brutus"."""
_HEAD = re.compile(r"\bwhat(?:'s| is| are| was| were) (?:the |a )?([a-z]+)\b")
_GENITIVE = re.compile(r"\b(?!how|kind|sort|type|out|because|instead)([a-z]+) of (?:the |a |an |my )?([a-z]+)\b")


@dataclass(frozen=True, slots=True)
class Reading:
    """`content` has the words that carry meaning, in order; of them `names` are written as names, `literals` must be
    the same to the letter. `order` has the content with the small words that order it, `beside` of each word those just
    before and after it, `counted` of each number the words that may say what there is so much of. `asked` is the noun
    of "which year", `place` whether "in" is before it, `head` that of "what is the year". `marks` are tense, duty and
    how the sentence is built.
    """

    kind: Kind
    asked: str
    place: bool
    head: str
    content: tuple[str, ...]
    order: tuple[str, ...]
    beside: dict[str, tuple[str, str]]
    counted: dict[str, frozenset[str]]
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
    asked, head = _ASKED.search(plain), _HEAD.search(plain)
    return Reading(
        kind,
        asked[2] if asked else "",
        bool(asked and asked[1]),
        head[1] if head else "",
        tuple(content),
        tuple(word for word in words if _carries(word) or word in ORDERING),
        {word: (before, after) for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False)},
        {word: _counted(words[at + 1 :]) for at, word in enumerate(words) if word.startswith("#")},
        _names(text),
        tuple(sorted(word for word in content if not word.isalpha() and not word.startswith("#"))),
        tuple(word for word in words if word.startswith("#")),
        sum(word in NEGATIONS for word in words),
        tuple(sorted(RELATIONS[word] for word in words if word in RELATIONS)),
        frozenset(_marks(words, kind)),
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


def _counted(words: list[str]) -> frozenset[str]:
    """The first and the last of the words that follow a number without a small one between: "2 git commits"."""
    run = list(takewhile(lambda word: _carries(word) and not word.startswith("#"), words))
    return frozenset([run[0], run[-1]] if run else [])


def _names(text: str) -> frozenset[str]:
    """Words with a capital that does not just begin a sentence; in lower case."""
    found = re.finditer(r"(?:(^|[.!?:]\s+|\n\s*)[\"'(]*)?\b([^\W\d_]\w*)", text)
    return frozenset(
        word[2].lower()
        for word in found
        if any(map(str.isupper, word[2][1:])) or (word[1] is None and word[2][0].isupper() and word[2] != "I")
    )


def _marks(found: list[str], kind: Kind) -> set[str]:
    words, marks = set(found), set[str]()
    if words & PAST:
        marks.add("past")
    elif words & PRESENT:
        marks.add("present")
    if words & FUTURE:
        marks.add("future")
    if kind not in (Kind.MANNER, Kind.OPEN):
        marks |= {"duty"} if words & DUTY else set()
        marks |= {"leave"} if words & LEAVE else set()
    marks |= {"passive"} if words & BE else set()
    marks |= {"object"} if _OBJECT.match(" ".join(found)) else set()
    marks |= {"it"} if "it" in words and words & PRESENT else set()
    marks |= {"owned"} if any(word == "'s" and before not in ASKING for before, word in pairwise(found)) else set()
    marks |= {"needs"} if any(word in NEEDS and after != "to" for word, after in pairwise([*found, ""])) else set()
    marks |= {f"owner {index}" for index, owners in enumerate(OWNERS) if words & owners}
    return marks

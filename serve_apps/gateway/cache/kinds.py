"""Which kind of answer two questions ask for, where a noun tells it rather than "who", "when" or "how". Pure."""

from __future__ import annotations

from serve_apps.gateway.cache.framing import Kind, alike
from serve_apps.gateway.cache.reading import Reading
from serve_apps.gateway.cache.words import Words

KIND_OF_FIELD = {"18": {Kind.PERSON}, "14": {Kind.PERSON}, "28": {Kind.TIME}}
"""Persons, groups, times, as WordNet's files are numbered (lexnames(5WN))."""
LOCATION, TIME = "15", "28"


def agree(a: Reading, b: Reading, words: Words) -> bool:
    """Whether both may ask for the same kind of answer."""
    return any(alike(one, other) for one in kinds_of(a, b, words) for other in kinds_of(b, a, words))


def kinds_of(one: Reading, other: Reading, words: Words) -> set[Kind]:
    """What `one` may ask for, where its noun says more: "which composer" is "who", "what is the height" "how tall"."""
    kinds = {one.kind}
    if one.kind is Kind.DEGREE and not any(pos in "ar" for pos, _ in words(one.content[0]).main):
        return {Kind.MANNER}  # "how vaccines work"
    if one.kind is Kind.THING:
        for noun in filter(None, (one.asked, one.head)):
            kinds |= KIND_OF_FIELD.get(words(noun).field, set())
        if one.place and words(one.asked).field == LOCATION:
            kinds.add(Kind.PLACE)
    if one.kind in (Kind.THING, Kind.OPEN) and other.kind is Kind.DEGREE and measure_of(other, one, words):
        kinds.add(Kind.DEGREE)
    return kinds


def measure_of(degree: Reading, thing: Reading, words: Words) -> str:
    """The noun of `thing` for what `degree` asks how much there is of."""
    how = degree.content[0]
    for noun in thing.content:
        if words(how).measures & words(noun).senses or (
            how == "long" and (noun == "time" or words(noun).field == TIME)
        ):
            return noun
    return ""

"""Numbers in a text, however they are written, as one spelling each. English. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_SMALL = {word: number for number, word in enumerate([*_UNITS.split(), "eighteen", "nineteen"])}
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * number for number, word in enumerate(_ROUND.split(), 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_RANKS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_ORDINALS = {word: number for number, word in enumerate(_RANKS.split(), 1)} | {"twentieth": 20, "thirtieth": 30}
_OTHERS = {"half": "0.5", "dozen": "12", "twice": "2", "double": "2", "triple": "3", "once": "1", "single": "1"}
_DIGITS = re.compile(r"([+-]?\d[\d,]*(?:\.\d+)?)([a-z%°]*)")
_FAR = Decimal(10) ** 18


def joined(words: Sequence[str]) -> Iterator[str]:
    """The words with each number in digits after `#`, what is stuck to it (a unit) as a word after it."""
    index = 0
    while index < len(words):
        value, used = _spelled(words, index)
        if used:
            yield f"#{value}"
            index += used
            continue
        word = words[index]
        index += 1
        if found := _DIGITS.fullmatch(word):
            number = Decimal(found[1].replace(",", ""))
            yield f"#{number.normalize():f}" if abs(number) < _FAR else f"#{found[1]}"
            if found[2] not in ("", "st", "nd", "rd", "th", "s"):
                yield found[2]
        elif word in _OTHERS:
            yield f"#{_OTHERS[word]}"
        else:
            yield word


def _spelled(words: Sequence[str], start: int) -> tuple[int, int]:
    """The number that begins at `start` in words, and how many words it takes; 0 where none begins there."""
    total = part = 0
    at = start
    while at < len(words):
        word = words[at]
        if word in _SMALL and part % 100 in (0, *(_TENS.values() if _SMALL[word] < 10 else ())):
            part += _SMALL[word]
        elif word in _TENS and part % 100 == 0:
            part += _TENS[word]
        elif word in _ORDINALS and (at > start or word != "second"):  # which may be the unit of time
            return total + part + _ORDINALS[word], at + 1 - start
        elif word == "hundred" and at > start:
            part *= 100
        elif word in _SCALES and at > start:
            total, part = total + part * _SCALES[word], 0
        elif not (word == "and" and at > start and words[at - 1] in _SCALES and _goes_on(words, at + 1)):
            break
        at += 1
    return total + part, at - start


def _goes_on(words: Sequence[str], at: int) -> bool:
    return at < len(words) and (words[at] in _SMALL or words[at] in _TENS)

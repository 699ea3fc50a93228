"""Whether a text is English: the guard knows no other language. Pure, but for what WordNet knows.

English needs its small words; those of other languages are in no English dictionary. So in an English text there are
more small words than unknown ones, and it has no letter of another script. A name may be unknown.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from serve_apps.gateway.cache.reading import EMPTY, NEGATIONS, ORDERING, RELATIONS, TEXTS
from serve_apps.gateway.cache.words import Words

SHARE = 0.2
"""Of the words at least so many are small ones."""
_WORD = re.compile(r"[^\W\d_]+")


@lru_cache(TEXTS)
def english(text: str, words: Words) -> bool:
    if any(letter.isalpha() and "LATIN" not in unicodedata.name(letter, "") for letter in text):
        return False
    found = [word for word in _WORD.findall(text) if len(word) > 1]
    small = sum(_is_small(word.lower()) for word in found)
    others = [word for word in found if word.islower() and not _is_small(word)]
    unknown = sum(not words(word).known for word in others)
    return small > unknown and small >= SHARE * (small + len(others))


def _is_small(word: str) -> bool:
    return word in EMPTY or word in NEGATIONS or word in RELATIONS or word in ORDERING

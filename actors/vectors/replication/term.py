"""What stands in an entry as its epoch: the epoch of its leader, and which life of the leader's process wrote it. Pure.

A leader that was killed leads on in its epoch when it is back (nobody needs to decide anything), but followers may have
entries that it had not yet on its own disk. In a new life it writes others with the same numbers, and they must differ.
"""

from __future__ import annotations

_LIFE_BITS = 20


def term_of(epoch: int, life: int = 0) -> int:
    return epoch << _LIFE_BITS | life


def epoch_of(term: int) -> int:
    return term >> _LIFE_BITS

"""How long anybody waits at most, computed from a simulated history. Pure.

Whoever has waited for `Rules.patience` goes ahead of every class, the oldest first, and what the first of them waits
for is kept free for it. All that then stands before the first is what already runs, and what may pass because it
says that it ends in time: it starts within one turn, twice the longest run (estimates may be wrong) and the longest
grace. With k others before it whose patience ended earlier, a wait is therefore at most patience + (k + 1) turns.
Each eviction starts a new wait, and there are at most `Rules.max_evictions` of them. While nodes are gone, and for
what the quotas do not admit, there is no bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from control.scheduler.trajectory import History, Wait


def bounds(waits: Sequence[Wait], histories: Sequence[History], patience: float) -> tuple[float, ...]:
    """For each wait how long it may be at most, in seconds."""
    longest = max((stint.until - stint.lease.since for h in histories for stint in h.stints), default=0.0)
    turn = 2 * longest + max((h.job.workload.grace for h in histories), default=0.0)
    since, until = (np.array([getattr(wait, end) for wait in waits]) for end in ("since", "until"))
    found = []
    for wait in waits:
        before = 0
        if wait.length > patience:
            before = max(0, int(((since <= wait.since) & (until > wait.since + patience)).sum()) - 1)
        found.append(patience + (before + 1) * turn)
    return tuple(found)

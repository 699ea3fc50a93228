"""What is wrong with queues that each have a good form: circles, missing parents, more than there is. Pure.

`queues` are all queues by name, those that are stored and those being written; `written` are the latter in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from control.scheduler.state import Queue
from control.specs.problem import Fault, nearest, one_of

DEEPEST = 16
"""So many queues at most stand above each other."""
_PARENT, _QUOTA = ("spec", "parent"), ("spec", "quota")


def tree_faults(name: str, queues: Mapping[str, Queue], written: Sequence[str]) -> list[Fault]:
    """What is wrong with the place of a queue among the others; a circle is told once, at the first that is written."""
    queue = queues[name]
    if queue.parent and queue.parent not in queues:
        others = sorted(set(queues) - {name})
        found, expected = f"there is no queue {queue.parent!r}", one_of(others, "no parent: there is no other queue")
        return [Fault(_PARENT, found, expected, nearest(queue.parent, others))]
    if circle := _circle(name, queues):
        if name != next(one for one in written if one in circle):
            return []
        return [Fault(_PARENT, f"the queues are each other's parents: {' → '.join([*circle, name])}", "a tree")]
    above = list(_above(name, queues))
    if len(above) > DEEPEST:
        return [Fault(_PARENT, f"{len(above)} queues stand above this one", f"{DEEPEST} at most")]
    return []


def quota_faults(
    name: str, queues: Mapping[str, Queue], written: Sequence[str], devices: int | None
) -> Iterator[Fault]:
    """Where quotas do not add up, in queues that are a tree. `devices` is how many there are, None if nobody knows.

    Children that have more than their parent are told at the parent when it is written, else at the first of them.
    """
    queue = queues[name]
    for parent in filter(None, (name, queue.parent)):
        children = sorted(one.name for one in queues.values() if one.parent == parent)
        told_at = parent if parent in written else next((one for one in written if one in children), "")
        total, quota = sum(_total(child, queues) for child in children), queues[parent].quota
        if name == told_at and 0 < quota < total:
            found = f"{', '.join(children)} have {total} devices together, their parent {parent} has {quota}"
            yield Fault(_QUOTA, found, f"{quota} together at most, or {total} for {parent}")
    if devices is not None and queue.quota > devices:
        yield Fault(_QUOTA, f"a quota of {queue.quota} devices, the cluster has {devices}", f"at most {devices}")


def overcommitment(name: str, queues: Mapping[str, Queue], devices: int) -> Iterator[Fault]:
    """What to know when the trees of queues together promise more devices than there are, at those that do."""
    promised = {root: _total(root, queues) for root, queue in queues.items() if not queue.parent}
    total = sum(promised.values())
    if promised.get(name, 0) and total > devices:
        roots = ", ".join(sorted(root for root in promised if promised[root]))
        yield Fault(_QUOTA, f"the quotas of {roots} promise {total} devices together, the cluster has {devices}")


def _circle(name: str, queues: Mapping[str, Queue]) -> list[str]:
    """The queues from this one up to where its parents lead back to it; empty when they do not."""
    above = {name: None}  # in order
    parent = queues[name].parent
    while parent in queues and parent not in above:
        above[parent] = None
        parent = queues[parent].parent
    return list(above) if parent == name else []


def _above(name: str, queues: Mapping[str, Queue]) -> Iterator[str]:
    """The parents of a queue from the nearest up; a circle above it is gone through once."""
    seen = {name}
    parent = queues[name].parent
    while parent in queues and parent not in seen:
        seen.add(parent)
        yield parent
        parent = queues[parent].parent


def _total(name: str, queues: Mapping[str, Queue]) -> int:
    """The quota of a queue, or what those below it have together where that is more."""
    below = (one.name for one in queues.values() if one.parent == name)
    return max(queues[name].quota, sum(_total(child, queues) for child in below))

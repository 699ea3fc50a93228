"""Who waits in a round, and of whom it is known already what they are told: of a long queue, most. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeAlias

from control.scheduler.state import Workload

Case: TypeAlias = tuple[bool, int]
"""Whether it may pass the head of the queue, and the number of its shape."""


class Line:
    """Two workloads of one case get the same answer as long as nothing comes free: one of each is asked.

    Those for whom others were stopped are asked in any case. `waiting` are those who were not, by name.
    """

    def __init__(self, pending: Iterable[Workload], may_pass: Callable[[Workload], bool]) -> None:
        """`may_pass` may change its mind: `recount` is called then."""
        self.waiting = {workload.name: workload for workload in pending}
        self.refused: dict[Case | str, str] = {}
        self._may_pass = may_pass
        numbers: dict[tuple[object, ...], int] = {}
        self._shapes = {name: numbers.setdefault(shape_of(w), len(numbers)) for name, w in self.waiting.items()}
        self._open: dict[Case | str, int] = {}
        """How many wait of each case of which it is not known what they are told."""
        self.recount()

    def __bool__(self) -> bool:
        """Whether anybody is left who has to be asked."""
        return bool(self._open)

    def recount(self) -> None:
        cases = Counter(map(self._case, self.waiting.values()))
        self._open = {case: count for case, count in cases.items() if case not in self.refused}

    def alike(self, workload: Workload) -> Case:
        """The case of those who are like it, were it not for what others were stopped for."""
        return self._may_pass(workload), self._shapes[workload.name]

    def leave(self, workload: Workload) -> None:
        """It is asked now."""
        del self.waiting[workload.name]
        case = self._case(workload)
        left = self._open.pop(case, 0) - 1
        if left > 0:
            self._open[case] = left

    def refuse(self, case: Case, reason: str) -> None:
        """So are all that are like it."""
        self.refused[case] = reason
        self._open.pop(case, None)

    def _case(self, workload: Workload) -> Case | str:
        return workload.name if workload.nominated else self.alike(workload)


shape_of: Callable[[Workload], tuple[object, ...]] = attrgetter(
    "kind",
    "devices",
    "least",
    "replicas",
    "milli",
    "device_memory",
    "memory",
    "cpu",
    "models",
    "span",
    "slice",
    "latency_ms",
    "requests_per_second",
    "profiles",
    "queue",
    "priority_class",
)
"""All that an answer depends on but how long it runs."""

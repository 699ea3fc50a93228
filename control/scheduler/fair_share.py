"""How much of the cluster each tenant holds: dominant resource fairness. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control.scheduler.state import WHOLE, Node, Workload


@dataclass(frozen=True)
class Amount:
    """`devices` in thousandths, `cpu` in thousandths of a core, `memory` in host bytes."""

    devices: int = 0
    cpu: int = 0
    memory: int = 0

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Amount:
        """All that these nodes have, free or not."""
        nodes = tuple(nodes)
        devices = WHOLE * sum(len(node.devices) for node in nodes)
        return cls(devices, sum(node.cpu for node in nodes), sum(node.memory for node in nodes))

    @classmethod
    def held_by(cls, workload: Workload, milli: int) -> Amount:
        """What the workload takes with `milli` of devices; elastic training takes the rest in proportion."""
        whole = workload.devices * workload.milli
        if not workload.least or not whole:
            return cls(milli, workload.cpu, workload.memory)
        return cls(milli, workload.cpu * milli // whole, workload.memory * milli // whole)


NOTHING = Amount()
_NONE = (0, 0, 0)


class Shares:
    """What each account and those below it hold of `capacity`, by the account's name. Mutable."""

    def __init__(self, capacity: Amount, weights: Mapping[str, float]) -> None:
        self._capacity, self._weights = capacity, weights
        self._held: dict[str, tuple[int, int, int]] = {}  # devices, CPU, memory: this is the scheduler's inner loop

    def copy(self) -> Shares:
        twin = Shares(self._capacity, self._weights)
        twin._held = dict(self._held)
        return twin

    def add(self, path: Iterable[str], amount: Amount, sign: int = 1) -> None:
        """Count what a workload holds (or, with -1, holds no more) in the accounts of its path."""
        self.count(path, sign * amount.devices, sign * amount.cpu, sign * amount.memory)

    def count(self, path: Iterable[str], devices: int, cpu: int, memory: int) -> None:
        """`add` for the inner loop: the amount in its parts."""
        for name in path:
            held = self._held.get(name, _NONE)
            self._held[name] = (held[0] + devices, held[1] + cpu, held[2] + memory)

    def dominant(self, name: str) -> float:
        """The largest part that the account holds of any one resource, divided by its weight.

        Ghodsi et al., "Dominant Resource Fairness", NSDI 2011. A resource of which there is nothing does not count.
        """
        devices, cpu, memory = self._held.get(name, _NONE)
        whole = self._capacity
        share = devices / whole.devices if whole.devices else 0.0
        if whole.cpu:
            share = max(share, cpu / whole.cpu)
        if whole.memory:
            share = max(share, memory / whole.memory)
        return share / self._weights.get(name, 1.0)

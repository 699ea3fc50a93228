"""The policies that ours is measured against, on the same board: our own implementations of published ones.

FGD: Weng et al., "Beware of Fragmentation" (USENIX ATC '23), as its authors' simulator runs it: typical pods are the
most popular ones that make 95 % of the list, with those that want no GPU; the score of a node is
int(100 · sigmoid(drop of F / 1000)), and of equal scores the first name wins. Host memory does not enter F.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from control.scheduler.board import Board, Demand
from control.scheduler.state import WHOLE, Ask

POPULAR = 0.95
_NEVER = -1

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Choice = tuple[int, tuple[int, ...]]


class Policy(Protocol):
    """Where a piece goes: the node's index and its devices; None to drop it."""

    def place(self, board: Board, ask: Ask) -> Choice | None: ...


class Biplane:
    """The product's own."""

    def place(self, board: Board, ask: Ask) -> Choice | None:
        node = board.choose(ask)
        return None if node is None else (node, board.devices_for(node, ask))


class Random:
    """Any node that fits, any of its devices."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def place(self, board: Board, ask: Ask) -> Choice | None:
        fitting = np.flatnonzero(board.fitting(ask))
        if not len(fitting):
            return None
        node = int(self._generator.choice(fitting))
        devices = self._generator.permutation(board.free_devices(node, ask))[: ask.devices]
        return node, tuple(int(device) for device in devices)


class BestFit:
    """The node with least left of CPU and GPU, each as part of the largest node's, in whole per cents."""

    def place(self, board: Board, ask: Ask) -> Choice | None:
        fitting = np.flatnonzero(board.fitting(ask))
        if not len(fitting):
            return None
        cpu = (board.cpu[fitting] - ask.cpu) / max(node.cpu for node in board.nodes)
        gpu = (board.open[fitting].sum(axis=1) - ask.devices * ask.milli) / (WHOLE * board.open.shape[1])
        node = int(fitting[np.argmax((100 * (1 - (cpu + gpu) / 2)).astype(np.int64))])
        free = sorted(board.free_devices(node, ask), key=lambda device: (board.open[node, device], device))
        return node, tuple(free[: ask.devices])


class Typical:
    """FGD's F for the typical pods of a demand."""

    def __init__(self, demand: Demand, board: Board) -> None:
        popular = sorted(zip(demand.asks, demand.weights, strict=True), key=lambda one: -one[1])
        reached = np.cumsum([weight for _, weight in popular]) / sum(demand.weights)
        popular = popular[: int(np.searchsorted(reached, POPULAR)) + 1]
        asks = [ask for ask, _ in popular]
        weights = np.array([weight for _, weight in popular])
        self._weights = weights / weights.sum()
        self._cpu = np.array([ask.cpu for ask in asks])
        self._devices = np.array([ask.devices for ask in asks])
        self._sizes = np.array(sorted({ask.milli for ask in asks}))
        self._size = np.searchsorted(self._sizes, [ask.milli for ask in asks])
        self._model = np.array([[not a.models or n.gpu_model in a.models for a in asks] for n in board.nodes])

    def fragmentation(self, rows: Ints, left: Ints, cpu: Ints) -> Floats:
        """(R,) F of nodes whose devices have `left` (R, G) thousandths and whose hosts have `cpu` left."""
        large = left[:, :, None] >= self._sizes
        many = large.sum(axis=1)[:, self._size] >= self._devices
        fits = many & (cpu[:, None] >= self._cpu) & self._model[rows] & (self._devices > 0)
        usable = (left[:, :, None] * large).sum(axis=1)[:, self._size] * fits
        fragmentation: Floats = left.sum(axis=1) - usable @ self._weights
        return fragmentation

    def of(self, board: Board) -> float:
        """F of the whole cluster, in thousandths of a device."""
        return float(self.fragmentation(np.arange(len(board.nodes)), board.open, board.cpu).sum())


class _Scores:
    """The scores of one ask on every node, and up to where of the board's history they are right."""

    def __init__(self, nodes: int) -> None:
        self.score: Ints = np.full(nodes, _NEVER)
        self.device: Ints = np.zeros(nodes, dtype=np.int64)
        self.seen = _NEVER


class Fgd:
    """Fragmentation gradient descent; looks again only at the nodes that it has changed."""

    def __init__(self, demand: Demand, board: Board) -> None:
        self._typical = Typical(demand, board)
        self._known: dict[Ask, _Scores] = {}
        self._changed: list[int] = []

    def place(self, board: Board, ask: Ask) -> Choice | None:
        known = self._known.setdefault(ask, _Scores(len(board.nodes)))
        changed = range(len(board.nodes)) if known.seen == _NEVER else self._changed[known.seen :]
        rows = np.array(sorted(set(changed)), dtype=np.int64)
        known.seen = len(self._changed)
        if len(rows):
            self._score(board, ask, rows, known)
        node = int(known.score.argmax())
        if known.score[node] == _NEVER:
            return None
        self._changed.append(node)
        if ask.devices and ask.milli < WHOLE:
            return node, (int(known.device[node]),)
        return node, board.free_devices(node, ask)[: ask.devices]

    def _score(self, board: Board, ask: Ask, rows: Ints, known: _Scores) -> None:
        known.score[rows] = _NEVER
        rows = rows[board.fitting(ask)[rows]]
        if not len(rows):
            return
        left, cpu = board.open[rows], board.cpu[rows]
        before = self._typical.fragmentation(rows, left, cpu)
        if not ask.devices or ask.milli == WHOLE:
            taken = (np.cumsum(left == WHOLE, axis=1) <= ask.devices) & (left == WHOLE) & (ask.devices > 0)
            known.score[rows] = self._sigmoid(before, rows, left - WHOLE * taken, cpu - ask.cpu)
            return
        for device in reversed(range(left.shape[1])):
            fits = left[:, device] >= ask.milli
            after = left[fits].copy()
            after[:, device] -= ask.milli
            score = self._sigmoid(before[fits], rows[fits], after, cpu[fits] - ask.cpu)
            better = score >= known.score[rows[fits]]
            known.score[rows[fits][better]] = score[better]
            known.device[rows[fits][better]] = device

    def _sigmoid(self, before: Floats, rows: Ints, left: Ints, cpu: Ints) -> Ints:
        drop = before - self._typical.fragmentation(rows, left, cpu)
        score: Ints = (100 / (1 + np.exp(-drop / 1000))).astype(np.int64)
        return score


POLICIES: dict[str, Callable[[Demand, Board, np.random.Generator], Policy]] = {
    "biplane": lambda demand, board, generator: Biplane(),
    "fgd": lambda demand, board, generator: Fgd(demand, board),
    "bestfit": lambda demand, board, generator: BestFit(),
    "random": lambda demand, board, generator: Random(generator),
}

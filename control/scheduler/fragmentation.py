"""What a placement costs the others: how much less of the cluster the asks that are expected could use. Pure.

`usable(m)` is how many thousandths of devices of a node the typical ask `m` could use. Fragmentation gradient descent
(Weng et al., USENIX ATC '23) counts the devices in which one more piece fits; here a part of that is what could be
filled with one piece after the other, so that remainders count before they are useless. Host memory and CPU limit both.

What a placement takes from `usable(m)` weighs popularity × scarcity², where scarcity is how much of the whole cluster
is idle now ÷ how much of it could be filled with `m`: 1 for an ask that can use everything that is idle, more for one
that needs whole nodes, a rare model or much CPU, and the more the less of that is left. So what is scarce is spared
before it is gone.

Everything is a function of what is free now and of the demand, not of how it came about: two boards in one state
answer alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from control.scheduler.demand import Demand
from control.scheduler.state import WHOLE

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]

MIB = 1 << 20
ONE_MORE = 4
"""What one more piece could use weighs four times as much as what pieces one after the other could."""
_SCARCITY_POWER = 2
_EQUAL = 1e-5
"""Losses that differ by less, relatively, are equal: single precision tells no more apart."""
_MULTIPLIER = 6364136223846793005
_WORD = 1 << 64
"""Of Knuth's MMIX generator: its powers, modulo the word, mix a state into 64 bits."""


class Fragmentation:
    """The typical asks of a demand (M of them, Q distinct sizes of share), compiled for a cluster's `models`.

    A state of a node is what its devices offer, (2 Q), and its free CPU and memory. Amounts are whole numbers in
    float32, so that sums of them are exact.
    """

    def __init__(self, demand: Demand, models: Sequence[str]) -> None:
        typical = demand.typical()
        asks = typical.asks
        self.asks = len(asks)
        sizes = sorted({ask.milli for ask in asks})
        weights = np.array(typical.weights)
        self._popularity = weights / weights.sum()
        self._cpu = _floats(max(1, ask.cpu) for ask in asks)
        self._memory = _floats(max(1, ask.memory) / MIB for ask in asks)
        self._each = _floats(ask.devices * ask.milli for ask in asks)
        self._model_fits = np.array([[ask.accepts(model) for ask in asks] for model in models], dtype=np.float32)
        self._restricted = bool((self._model_fits == 0).any())
        forms = sorted({(ask.devices, ask.milli) for ask in asks})
        self._form = np.array([forms.index((ask.devices, ask.milli)) for ask in asks])
        self._size = np.array([sizes.index(milli) for _, milli in forms])
        self._count = _floats(count for count, _ in forms)
        left = np.arange(WHOLE + 1, dtype=np.float32)[:, None]
        size = _floats(sizes)
        self.offers: Floats = np.hstack([ONE_MORE * left * (left >= size), np.floor(left / size)])
        """(1001, 2 Q): for each amount left on a device what it offers to each size: all of it, and how many fit."""

    def usable(self, offers: Floats, cpu: Ints, memory: Ints, model: Ints) -> tuple[Floats, Floats]:
        """Two (R, M), in thousandths of a device: what each typical ask could use of R nodes (five times as many), and
        what of that could be filled with it.

        `offers` (R, 2 Q) sums those of a node's devices; `memory` is in bytes, `model` indexes the cluster's models.
        """
        half = offers.shape[1] // 2
        pieces = np.floor(offers[:, half:][:, self._size] / self._count)[:, self._form]
        np.minimum(pieces, cpu.astype(np.float32)[:, None] / self._cpu, out=pieces)
        np.minimum(pieces, (memory / MIB).astype(np.float32)[:, None] / self._memory, out=pieces)
        np.floor(pieces, out=pieces)
        if self._restricted:
            pieces *= self._model_fits[model]
        usable: Floats = offers[:, :half][:, self._size[self._form]]
        usable *= pieces >= 1
        filled: Floats = pieces * self._each
        usable += filled
        return usable, filled

    def weights(self, filled: npt.NDArray[np.float64], idle: int) -> Floats:
        """(M,): what a unit of usable weighs. `filled` (M,) and `idle` (in thousandths) are the cluster's sums."""
        scarcity = idle / np.maximum(filled, WHOLE)
        weights: Floats = (self._popularity * scarcity**_SCARCITY_POWER).astype(np.float32)
        return weights


class Standing:
    """What the typical asks could use of each of N nodes, kept up to date row by row.

    `key` (N,) is equal for nodes in one state, so that one of them can stand for all.
    """

    def __init__(self, fragmentation: Fragmentation, model: Ints, devices: int) -> None:
        self.fragmentation = fragmentation
        self.model = model
        self.offers: Floats = np.zeros((len(model), fragmentation.offers.shape[1]), dtype=np.float32)
        self.usable: Floats = np.zeros((len(model), fragmentation.asks), dtype=np.float32)
        self.filled: Floats = np.zeros_like(self.usable)
        self.total = np.zeros(fragmentation.asks)
        self.key = np.zeros(len(model), dtype=np.uint64)
        self._factors = np.array([_MULTIPLIER**power % _WORD for power in range(1, 3 * devices + 4)], dtype=np.uint64)

    def copy(self) -> Standing:
        twin = copy(self)
        for name in ("offers", "usable", "filled", "total", "key"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def refresh(self, rows: Ints, devices: Sequence[Ints], cpu: Ints, memory: Ints) -> None:
        """Look again at some rows. `devices` are what is left, free memory and holders of theirs, each (R, G)."""
        model = self.model[rows]
        self.offers[rows] = self.fragmentation.offers[devices[0]].sum(axis=1)
        before = self.filled[rows].sum(axis=0, dtype=np.float64)
        self.usable[rows], self.filled[rows] = self.fragmentation.usable(self.offers[rows], cpu, memory, model)
        self.total += self.filled[rows].sum(axis=0, dtype=np.float64) - before
        state = np.hstack([*devices, np.stack([cpu, memory, model], axis=1)])
        self.key[rows] = (state.astype(np.uint64) * self._factors).sum(axis=1)

    def loss(self, rows: Ints, taken: Floats, cpu: Ints, memory: Ints, weights: Floats) -> Floats:
        """(R,): what each row would cost the others if its devices offered `taken` (R, 2 Q) or (2 Q,) less.

        `cpu` and `memory` are what would be left of the hosts.
        """
        after, _ = self.fragmentation.usable(self.offers[rows] - taken, cpu, memory, self.model[rows])
        lost: Floats = np.dot(self.usable[rows] - after, weights)
        return lost


def least(loss: Floats) -> npt.NDArray[np.bool_]:
    """Which losses are the least, but for rounding."""
    equal: npt.NDArray[np.bool_] = loss <= loss.min() * (1 + _EQUAL)
    return equal


def _floats(values: Iterable[float]) -> Floats:
    return np.array(list(values), dtype=np.float32)

"""What a policy says of a workload: a place, or why there is none now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from control.scheduler.state import Piece, Workload
from control.scheduler.stock import Stock

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """These pieces; they were free together when the policy answered, and none is taken yet."""

    pieces: tuple[Piece, ...]
    reason: str

    @property
    def milli(self) -> int:
        """What the pieces are of devices, in thousandths: what they count in a quota."""
        return sum(len(piece.devices) * piece.milli for piece in self.pieces)


@dataclass(frozen=True)
class Refused:
    """Nothing was found. `slice` names the MIG profile that would have done, had a device been cut for it.

    `why` looks at every node: it is only called for an answer that somebody reads, and before the stock changes.
    """

    why: Callable[[], str]
    slice: str = ""


Answer = Placed | Refused


class Policy(Protocol):
    """How one kind of workload is placed. Pure: the stock is as before when it returns."""

    def __call__(self, workload: Workload, stock: Stock, among: Mask | None = None) -> Answer: ...
